# Completion of dagster-module-builder, and of invoke, for zsh.
_dagster_module_builder() {
    local line
    local -a values shown
    for line in "${(@f)$(DAGSTER_MODULE_BUILDER_COMPLETE=zsh ${~${(Q)words[1]}} --complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
        [[ -n $line ]] || continue
        values+=("${line%%$'\t'*}")
        shown+=("${line/$'\t'/  -- }")
    done
    if (( $#values )); then
        compadd -l -d shown -a values
    else
        _files
    fi
}
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit -i }
compdef _dagster_module_builder dagster-module-builder invoke inv
