# Runs rsync between two scripts. Whoever runs this holds the lock of the destination, and so do all that it runs: whichever
# of them is killed, the lock is held until the last of them has ended.
# $1, $2: the command lines of the scripts, quoted for a shell, or empty; then rsync and its arguments.
# A NUL on standard output, which rsync never prints, tells that the next stage begins: before, rsync, after.
before=$1 after=$2 ended=
shift 2
# A trap, unlike an ignored signal, is not inherited: rsync gets the signal and cleans up, this shell lives to tell its exit code.
trap 'ended=1' TERM HUP INT

printf '\0'
if [ -n "$before" ]; then
	eval "$before" </dev/null >&2
	code=$?
	if [ "$code" -ne 0 ]; then exit "$code"; fi
fi
if [ -n "$ended" ]; then exit 143; fi

printf '\0'
"$@"
code=$?
case $code in 0 | 24) ;; *) exit "$code" ;; esac
if [ -n "$ended" ]; then exit 143; fi

if [ -n "$after" ]; then
	printf '\0'
	eval "$after" </dev/null
	last=$?
	# 24 would be taken for rsync's.
	if [ "$last" -eq 24 ]; then exit 1; fi
	if [ "$last" -ne 0 ]; then exit "$last"; fi
fi
exit "$code"
