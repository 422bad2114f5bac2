# Completion of dagster-module-builder, and of invoke, for fish.
function __dagster_module_builder
    set -l before (commandline -opc)
    set -l found (env DAGSTER_MODULE_BUILDER_COMPLETE=fish $before[1] --complete -- $before[2..-1] (commandline -ct) 2>/dev/null)
    if test (count $found) -gt 0
        printf '%s\n' $found
    else
        __fish_complete_path (commandline -ct)
    end
end
for program in dagster-module-builder invoke inv
    complete --command $program --no-files --arguments '(__dagster_module_builder)'
end
