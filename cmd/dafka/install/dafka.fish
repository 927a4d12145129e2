# Completion in fish of dafka, and of the C programs' names. The program itself knows its commands and flags; files are
# fish's to complete.

function __dafka_complete
    set -l line (commandline -opc)
    set -l word (commandline -ct)
    string match -q -- '-*' $word; and set -a line $word
    $line --generate-bash-completion 2>/dev/null
end

for program in dafka dafka_towerd dafka_stored dafka_console_producer dafka_console_consumer dafka_perf_store dafka_perf_consumer
    complete -c $program -n 'string length -q -- (__dafka_complete)' -f -a '(__dafka_complete)'
end
