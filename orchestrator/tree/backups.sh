# Prints what is kept: for each run its name, whether how the tree was is known, whether it was undone, its last attempt's
# time and its size in KiB.
keeps=$1
cd -- "$keeps" 2>/dev/null || exit 0
for run in */; do
	run=${run%/}
	if [ ! -d "$run" ]; then continue; fi
	whole=no undone=no
	if [ -e "$run/before" ] || [ -e "$run/absent" ]; then whole=yes; fi
	if [ -e "$run/undone" ]; then undone=yes; fi
	size=$(du -s -k -- "./$run") || size=0
	printf '%s\0%s\0%s\0%s\0%s\0' "$run" "$whole" "$undone" "$(stat -c %Y -- "./$run")" "${size%%	*}"
done
exit 0
