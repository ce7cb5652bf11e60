# Runs a command on a host and ends it when standard input ends.
# $1: a fifth of the grace period, in seconds; $2: how many bytes of input the command gets; then the command.
slice=$1 size=$2 ended=
shift 2
exec 3<&0 4>&2

# The command starts only when all of its input is here: half a list of paths means other paths.
if [ "$size" -gt 0 ]; then
	file=$(mktemp) || exit 126
	head -c "$size" <&3 >"$file"
	got=$(wc -c <"$file")
	exec 5<"$file"
	rm -f -- "$file"
	if [ "$got" -ne "$size" ]; then
		echo "input ended after $got of $size bytes" >&2
		exit 143
	fi
else
	exec 5</dev/null
fi

# What the shell itself says of killed children is not the command's output.
exec 2>/dev/null

# The watcher holds nothing open but its end of the input, so that nobody waits for it.
(
	trap '' TERM HUP INT
	while read -r _; do :; done
	kill -USR1 $$
	kill -TERM 0
	for _ in 1 2 3 4 5; do sleep "$slice"; done
	kill -KILL 0
) <&3 >/dev/null 3<&- 4>&- 5<&- &
watcher=$!

# A trap, unlike an ignored signal, is not inherited: the command gets the signal, this shell lives to tell its exit code.
trap : TERM HUP INT
trap 'ended=1' USR1
# A shell may take the name of such a program for an option.
case $1 in -*) set -- env -- "$@" ;; esac
(exec "$@" <&5 2>&4 3<&- 4>&- 5<&-)
code=$?
# An rsync that has ended may leave one that waits for its source to end too, for as long as its --timeout (measured).
if [ -n "$ended" ] && [ "$code" -ne 0 ]; then kill -KILL 0; fi
kill -KILL "$watcher"
if [ "$code" -eq 255 ]; then code=254; fi
exit "$code"
