# Prepares a sync, under the lock of its destination: keeps how the tree is, and marks its record as partial.
root=$1 scratch=$2 name=$3 run=$4 attempt=$5 keep=$6 runs=$7 minutes=$8 record=$9 format=${10}
shift 10
keeps=$scratch/keep/$name
dir=$keeps/$run
last=$scratch/$name.last

apart "$root" "$scratch" "$keeps"

near=$root
while [ ! -e "$near" ]; do
	near=${near%/*}
	near=${near:-/}
done
cd -- "$near" || exit 74

# What a killed rsync had received and not put in place is nobody's: rsync would delete it, and count it among the deletions that
# it may make; and a listing that has it would have an undo bring it back.
was=
if [ -e "$last" ]; then IFS= read -r was <"$last" || :; fi
case $was in *'"partial":true'*)
	if [ -d "$root" ]; then
		(cd -- "$root" && find . -ignore_readdir_race "$@" -type d -name '.~tmp~' -prune -exec rm -rf -- {} +) || exit 74
	fi ;;
esac

# A keep that goes is renamed first, so that none is ever offered that is half gone.
gone() {
	rm -rf -- "$keeps/.gone-${1##*/}"
	mv -f -- "$1" "$keeps/.gone-${1##*/}"
}

if [ "$keep" = yes ]; then
	if [ "$(stat -c %d -- .)" != "$(stat -L -c %d -- "$scratch")" ]; then
		die 1 "$scratch is not on the file system of $root: what a sync replaces cannot be kept there"
	fi
	mkdir -p -- "$dir" || exit 74

	# How it was before the run is known from before its first attempt; after an undo the run begins anew.
	if [ -e "$dir/undone" ]; then
		rm -f -- "$dir/before" "$dir/absent" || exit 74
	fi
	if [ ! -e "$dir/before" ] && [ ! -e "$dir/absent" ]; then
		n=1
		for old in "$dir"/*; do
			# What the attempts kept may be what somebody made between them; so may what an undo did.
			case ${old##*/} in
			undone | undo.*) ;;
			[1-9]*)
				while [ -e "$dir/undo.$n" ]; do n=$((n + 1)); done
				mv -- "$old" "$dir/undo.$n" || exit 74 ;;
			*) rm -rf -- "$old" || { chmod -R u+rwX -- "$old" && rm -rf -- "$old"; } || exit 74 ;;
			esac
		done
		rm -f -- "$dir/undone" || exit 74
		if [ -e "$last" ]; then write "$dir/last" <"$last"; fi
		if [ -d "$root" ]; then
			(cd -- "$root" && find . -ignore_readdir_race "$@" -printf "$format") >"$dir/before.new" || {
				# A full disk passes; what may not be read does not.
				if printf '%s\n' "$record" >"$dir/before.new"; then die 1 "$root: cannot be listed"; fi
				die 74 "$root: there is no room for its listing"
			}
			sync -- "$dir/before.new" && mv -f -- "$dir/before.new" "$dir/before" || exit 74
		else
			write "$dir/absent" </dev/null
		fi
		sync -- "$dir" "$keeps" "$scratch/keep" "$scratch" || exit 74
	fi

	# An attempt of the same number must not overwrite what the one before it kept.
	if [ -e "$dir/$attempt" ]; then
		n=1
		while [ -e "$dir/$attempt.$n" ]; do n=$((n + 1)); done
		mv -- "$dir/$attempt" "$dir/$attempt.$n" || exit 74
	fi
fi

# In the order of the runs, also where nothing is kept any more. What cannot be removed is no reason not to sync.
set -- "$keeps"/*/
while [ $# -gt 0 ]; do
	one=${1%/}
	if [ "$one" != "$dir" ] && [ -d "$one" ]; then
		if [ "$runs" -gt 0 ] && [ $# -gt "$runs" ]; then
			gone "$one"
		elif [ "$minutes" -gt 0 ] && [ -n "$(find "$one" -maxdepth 0 -mmin "+$minutes")" ]; then
			gone "$one"
		fi
	fi
	shift
done
for one in "$keeps"/.gone-*; do
	if [ -d "$one" ]; then rm -rf -- "$one" 2>/dev/null || { chmod -R u+rwX -- "$one" && rm -rf -- "$one"; }; fi
done

put "$last" "$record"
exit 0
