# Runs rsync -n on a host: nothing is made, not even a lock file.
# $1: the lock file of the destination; $2: the destination; then rsync and its arguments.
lock=$1 destination=$2
shift 2
export LC_ALL=C
for program in flock rsync; do
	command -v "$program" >/dev/null || { echo "$program: not found" >&2; exit 127; }
done
if [ ! -d "$destination" ] && { [ -e "$destination" ] || [ -L "$destination" ]; }; then
	echo "$destination: not a directory" >&2
	exit 3
fi
# Shared: what is counted while another rsync writes would be nobody's truth. Where there is no lock file, none ever wrote.
if [ -e "$lock" ]; then
	exec flock --no-fork --shared --nonblock --conflict-exit-code 75 "$lock" "$@"
fi
exec "$@"
