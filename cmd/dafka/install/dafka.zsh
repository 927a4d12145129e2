#compdef dafka dafka_towerd dafka_stored dafka_console_producer dafka_console_consumer dafka_perf_store dafka_perf_consumer
# Completion in zsh. The program itself knows its commands and flags; files are zsh's to complete.

local -a line found
line=("${(@)words[1,CURRENT-1]}")
[[ $words[CURRENT] == -* ]] && line+=("$words[CURRENT]")
found=("${(@f)$("${line[@]}" --generate-bash-completion 2>/dev/null)}")
if [[ -n $found[1] ]]; then
	compadd -a found
else
	_files
fi
