# Completion of dagster-module-builder, and of invoke, for bash.
_dagster_module_builder() {
    local word current=${COMP_WORDS[COMP_CWORD]}
    [[ $current == "=" ]] && current=""
    COMPREPLY=()
    while IFS= read -r word; do
        [[ $word == "$current"* ]] && COMPREPLY+=("$word")
    done < <(DAGSTER_MODULE_BUILDER_COMPLETE=bash "${COMP_WORDS[0]/#\~/$HOME}" --complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -o default -F _dagster_module_builder dagster-module-builder invoke inv
