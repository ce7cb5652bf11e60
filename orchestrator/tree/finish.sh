# Marks a keep as undone, under the lock of the destination, and puts back the record that the host had before the run.
keeps=$1 run=$2 last=$3
dir=$keeps/$run
if [ -e "$dir/undone" ]; then exit 0; fi
# Else the sync of another run has begun meanwhile, and the record is its own.
if partial "$last" "$run"; then
	if [ -e "$dir/last" ]; then
		write "$last" <"$dir/last"
	else
		rm -f -- "$last" || exit 74
	fi
fi
write "$dir/undone" </dev/null
exit 0
