[% import 'shell.jinja' as shell with context %]
pipeline {
    agent none
    options {
        // One at a time, and nothing that has begun is cancelled: only where nothing is said for a day, as when nobody
        // answers, the build ends.
        disableConcurrentBuilds()
        skipDefaultCheckout()
        timeout(time: 1, unit: 'DAYS', activity: true)
    }
    parameters {
        choice(name: 'ACTION', choices: ['deploy', 'rollback'], description: 'What to do')
        string(name: 'RELEASE', defaultValue: '', description: 'The release to roll back to (empty for the one before)')
    }
    stages {
[% if compares %]
        stage('Changes') {
            when {
                beforeAgent true
                [[ place ]]
                not { equals expected: 'rollback', actual: params.ACTION }
            }
            agent [[ agent ]]
            options {
                timeout(time: 30, unit: 'MINUTES')
            }
            steps {
                deleteDir()
                script {
                    // The commit of the last build that succeeded, which deployed it or had nothing to deploy.
                    env.DEPLOYED = checkout(scm).GIT_PREVIOUS_SUCCESSFUL_COMMIT ?: ''
                    // A commit that is not here any more counts as a change.
                    env.CHANGED = sh(returnStatus: true, script: '''
                        set +x
                        git diff --quiet "$DEPLOYED" HEAD -- [[ watched ]]
                    ''') == 0 ? 'no' : 'yes'
                }
            }
        }
[% endif %]
        stage('Test') {
            when {
                beforeAgent true
[% for line in conditions %]
                [[ line ]]
[% endfor %]
                not { equals expected: 'rollback', actual: params.ACTION }
            }
            agent [[ agent ]]
            options {
                timeout(time: 30, unit: 'MINUTES')
            }
            steps {
                deleteDir()
                checkout scm
                sh '''
                    set +x -eu
                    work="$(mktemp -d)"
                    trap 'rm -rf "$work"' EXIT
[% if pipeline.below %]
                    cd "[[ pipeline.inside ]]"
[% endif %]
                    [[ shell.test() | groovy | indent(20) ]]
                '''
            }
        }
        stage('Deploy') {
            when {
                beforeInput true
                beforeAgent true
[% for line in conditions %]
                [[ line ]]
[% endfor %]
                not { equals expected: 'rollback', actual: params.ACTION }
            }
            input {
                message 'Deploy [[ pipeline.module ]] to [[ pipeline.deployment ]]?'
                ok 'Deploy'
[% if pipeline.approvers %]
                submitter '[[ pipeline.approvers ]]'
[% endif %]
            }
            agent [[ agent ]]
            environment {
                TOOL = '[[ pipeline.tool ]]'
                DEPLOY_SSH_KEY = credentials('[[ pipeline.name ]]-ssh-key')
                DEPLOY_ENV = credentials('[[ pipeline.name ]]-env')
[% if pipeline.registry %]
                REGISTRY = credentials('[[ pipeline.name ]]-registry')
[% endif %]
            }
            steps {
                deleteDir()
                checkout scm
                sh '''
                    set +x -eu
                    work="$(mktemp -d)"
                    trap 'rm -rf "$work"' EXIT
[% if pipeline.registry %]
                    export DEPLOY_REGISTRY_USER="$REGISTRY_USR" DEPLOY_REGISTRY_PASSWORD="$REGISTRY_PSW"
[% endif %]
                    [[ shell.install() | groovy | indent(20) ]]
                    [[ shell.agent(read('DEPLOY_SSH_KEY'), settings=true) | groovy | indent(20) ]]
                    [[ shell.deploy(read('DEPLOY_ENV')) | groovy | indent(20) ]]
                '''
            }
        }
        stage('Roll back') {
            when {
                beforeInput true
                beforeAgent true
                [[ place ]]
                equals expected: 'rollback', actual: params.ACTION
            }
            input {
                message 'Roll [[ pipeline.module ]] back at [[ pipeline.deployment ]]?'
                ok 'Roll back'
[% if pipeline.approvers %]
                submitter '[[ pipeline.approvers ]]'
[% endif %]
            }
            agent [[ agent ]]
            environment {
                TOOL = '[[ pipeline.tool ]]'
                DEPLOY_SSH_KEY = credentials('[[ pipeline.name ]]-ssh-key')
[% if pipeline.registry %]
                REGISTRY = credentials('[[ pipeline.name ]]-registry')
[% endif %]
            }
            steps {
                deleteDir()
                checkout scm
                sh '''
                    set +x -eu
                    work="$(mktemp -d)"
                    trap 'rm -rf "$work"' EXIT
[% if pipeline.registry %]
                    export DEPLOY_REGISTRY_USER="$REGISTRY_USR" DEPLOY_REGISTRY_PASSWORD="$REGISTRY_PSW"
[% endif %]
                    [[ shell.install() | groovy | indent(20) ]]
                    [[ shell.agent(read('DEPLOY_SSH_KEY')) | groovy | indent(20) ]]
                    [[ shell.rollback() | groovy | indent(20) ]]
                '''
            }
        }
    }
}
