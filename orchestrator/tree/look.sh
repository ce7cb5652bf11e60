# Prints how a tree was before a run, how it is, and what was kept of it, among what else an undo must know; an empty record
# ends each part.
root=$1 keeps=$2 run=$3 last=$4 format=$5
shift 5
dir=$keeps/$run
if [ -e "$dir/undone" ]; then
	printf 'undone\0'
	exit 0
fi
if [ ! -e "$dir/before" ] && [ ! -e "$dir/absent" ]; then die 66 "nothing of run $run is kept on this host"; fi
for one in "$keeps"/*/; do
	one=${one%/}
	if [ ! -e "$one/undone" ]; then
		if [ -e "$one/before" ] || [ -e "$one/absent" ]; then printf '%s\0' "${one##*/}"; fi
	fi
done
printf '\0'
n=1
while [ -e "$dir/undo.$n" ]; do n=$((n + 1)); done
printf '%s\0\0' "$n"
# The record, when it was written, and the one from before the run.
if [ -e "$last" ]; then
	stat -c %.9Z -- "$last" || exit 74
	tr -d '\000' <"$last" || exit 74
	printf '\0'
fi
printf '\0'
if [ -e "$dir/last" ]; then
	tr -d '\000' <"$dir/last" || exit 74
	printf '\n\0'
fi
printf '\0'
digest look "$root" "$keeps" "$last" "$@" || die 74 "$root: cannot be listed"
printf '\0\0'
if [ -e "$dir/before" ]; then cat -- "$dir/before" || exit 74; fi
printf '\0'
if [ -d "$root" ]; then (cd -- "$root" && find . -ignore_readdir_race "$@" -printf "$format") || die 74 "$root: cannot be listed"; fi
printf '\0'
(cd -- "$dir" && find . -mindepth 2 -path './undo.*' -prune -o -printf "$format") || die 74 "$dir: cannot be listed"
exit 0
