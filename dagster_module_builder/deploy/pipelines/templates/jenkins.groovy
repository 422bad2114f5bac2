[% import 'shell.jinja' as shell with context %]
[# What deploying and rolling back begin with: a person is asked, then this program is installed. #]
[% macro asked(question, answer) %]
            input {
                message '[[ question ]]'
                ok '[[ answer ]]'
[% if pipeline.approvers %]
                submitter '[[ pipeline.approvers ]]'
[% endif %]
            }
            agent [[ agent ]]
            environment {
                TOOL = '[[ pipeline.tool ]]'
            }
            steps {
                deleteDir()
                [[ checkout | indent(16) ]]
                // No secret is here yet.
                sh '''
                    set +x -eu
                    work="$WORKSPACE_TMP/[[ pipeline.name ]]"
                    rm -rf "$work"
                    mkdir -p "$work"
                    [[ shell.install() | groovy | indent(20) ]]
                '''
[%- endmacro %]
[# Who may read from the registry. #]
[% macro reader() %]
                    usernamePassword(
                        credentialsId: '[[ pipeline.credentials.pull ]]',
                        usernameVariable: 'DEPLOY_REGISTRY_PULL_USER',
                        passwordVariable: 'DEPLOY_REGISTRY_PULL_PASSWORD'
                    ),
[%- endmacro %]
pipeline {
    agent none
    options {
        // One at a time, and nothing that has begun is cancelled. The build ends if it prints nothing for a day, as
        // without an answer to its question.
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
                timeout(time: 10, unit: 'MINUTES')
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
            environment {
                TOOL = '[[ pipeline.tool ]]'
            }
            steps {
                deleteDir()
                [[ checkout | indent(16) ]]
                sh '''
                    set +x -eu
                    work="$(mktemp -d)"
                    trap 'rm -rf "$work"' EXIT
                    # Here, so that a failure shows before the approval.
                    [[ shell.install() | groovy | indent(20) ]]
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
[[ asked('Deploy ' ~ pipeline.module ~ ' to ' ~ pipeline.deployment ~ '?', 'Deploy') ]]
                withCredentials([
                    file(credentialsId: '[[ pipeline.credentials.settings ]]', variable: 'DEPLOY_ENV'),
[% if pipeline.registry %]
                    usernamePassword(
                        credentialsId: '[[ pipeline.credentials.registry ]]',
                        usernameVariable: 'DEPLOY_REGISTRY_USER',
                        passwordVariable: 'DEPLOY_REGISTRY_PASSWORD'
                    ),
                    // The hosts are told who may read, and never who may push.
[[ reader() ]]
[% endif %]
                    file(credentialsId: '[[ pipeline.credentials.key ]]', variable: 'DEPLOY_SSH_KEY')
                ]) {
                    sh '''
                        set +x -eu
                        work="$WORKSPACE_TMP/[[ pipeline.name ]]"
                        [[ shell.agent(read('DEPLOY_SSH_KEY'), settings=true) | groovy | indent(24) ]]
                        [[ shell.deploy(read('DEPLOY_ENV')) | groovy | indent(24) ]]
                    '''
                }
            }
        }
[% if pipeline.comments %]
        stage('Comment') {
            when {
                beforeInput true
                beforeAgent true
                [[ change ]]
                // Its code runs here beside the key: never for a fork.
                expression { env.CHANGE_FORK == null }
            }
[[ asked('Compare this change of ' ~ pipeline.module ~ ' with ' ~ pipeline.deployment ~ '?', 'Compare') ]]
                withCredentials([
                    file(credentialsId: '[[ pipeline.credentials.settings ]]', variable: 'DEPLOY_ENV'),
                    string(credentialsId: '[[ pipeline.credentials.comment ]]', variable: 'DEPLOY_COMMENT_TOKEN'),
                    file(credentialsId: '[[ pipeline.credentials.key ]]', variable: 'DEPLOY_SSH_KEY')
                ]) {
                    sh '''
                        set +x -eu
                        work="$WORKSPACE_TMP/[[ pipeline.name ]]"
                        [[ shell.agent(read('DEPLOY_SSH_KEY'), settings=true) | groovy | indent(24) ]]
                        [[ shell.comment(read('DEPLOY_ENV')) | groovy | indent(24) ]]
                    '''
                }
            }
        }
[% endif %]
        stage('Roll back') {
            when {
                beforeInput true
                beforeAgent true
                [[ place ]]
                equals expected: 'rollback', actual: params.ACTION
            }
[[ asked('Roll ' ~ pipeline.module ~ ' back at ' ~ pipeline.deployment ~ '?', 'Roll back') ]]
                withCredentials([
[% if pipeline.registry %]
[[ reader() ]]
[% endif %]
                    file(credentialsId: '[[ pipeline.credentials.key ]]', variable: 'DEPLOY_SSH_KEY')
                ]) {
                    sh '''
                        set +x -eu
                        work="$WORKSPACE_TMP/[[ pipeline.name ]]"
                        [[ shell.agent(read('DEPLOY_SSH_KEY')) | groovy | indent(24) ]]
                        [[ shell.rollback() | groovy | indent(24) ]]
                    '''
                }
            }
        }
    }
}
