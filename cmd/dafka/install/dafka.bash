# shellcheck shell=bash
# Completion in bash of dafka, and of the C programs' names. The program itself knows its commands and flags; files are
# bash's to complete.

_dafka() {
	local word=${COMP_WORDS[COMP_CWORD]}
	local line=("${COMP_WORDS[@]:0:COMP_CWORD}")
	[[ $word == -* ]] && line+=("$word")
	# shellcheck disable=SC2207 # no command and no flag has a space in it
	COMPREPLY=($(compgen -W "$("${line[@]}" --generate-bash-completion 2>/dev/null)" -- "$word"))
}

complete -o bashdefault -o default -F _dafka dafka dafka_towerd dafka_stored \
	dafka_console_producer dafka_console_consumer dafka_perf_store dafka_perf_consumer
