package inventory

import (
	"path"
	"slices"
	"strings"
	"unicode"
)

// placeholder is what stands for the host's name in a value.
const placeholder = "{host}"

// sampleHost stands for a host's name where a value is checked before there is one.
const sampleHost = "host"

func expand(s, host string) string { return strings.ReplaceAll(s, placeholder, host) }

// checkPlaceholders says when a value holds braces that are not {host}.
func checkPlaceholders(s string) *fault {
	blank := strings.ReplaceAll(s, placeholder, strings.Repeat("h", len(placeholder)))
	if i := strings.IndexAny(blank, "{}"); i >= 0 {
		return faultf("the only placeholder is {host}", "braces in %s", quote(s)).at(i)
	}
	return nil
}

// Linux refuses a longer path or component (limits.h).
const (
	maxPath      = 4095
	maxComponent = 255
)

// checkPath says what is wrong with the path of a folder on a host. It may hold {host}.
func checkPath(s string) *fault {
	const hint = "write an absolute path; {host} is the host's name"
	if s == "" || s[0] != '/' {
		return faultf(hint, "path %s is not absolute", quote(s))
	}
	if i := strings.IndexFunc(s, func(r rune) bool { return r == unicode.ReplacementChar || !unicode.IsPrint(r) }); i >= 0 {
		return faultf("paths are shown on terminals and pages", "path %s holds a character that cannot be printed", quote(s)).at(i)
	}
	if f := checkPlaceholders(s); f != nil {
		return f
	}
	if f := checkComponents(s); f != nil {
		return f
	}
	return checkSystemFolder(s)
}

// checkComponents says what is wrong with the components of a path, which may be relative.
func checkComponents(s string) *fault {
	if len(s) > maxPath {
		return faultf("", "path %s is longer than %d bytes", quote(s), maxPath)
	}
	offset := 0
	for component := range strings.SplitSeq(s, "/") { // the first one of an absolute path is empty
		switch {
		case component == "..":
			return faultf("write the path that it leads to", "path %s climbs with ..", quote(s)).at(offset)
		case len(component) > maxComponent:
			return faultf("", "path %s has a component longer than %d bytes", quote(s), maxComponent).at(offset)
		}
		offset += len(component) + 1
	}
	if clean := path.Clean(s); clean != s {
		return faultf("write "+quote(clean), "path %s is not in its shortest form", quote(s))
	}
	if strings.HasSuffix(s, " ") {
		return faultf("remove it", "path %s ends with a space", quote(s))
	}
	return nil
}

// systemFolders are where a sync, which deletes, would take the system down, and their parents.
var systemFolders = strings.Fields(`
	/ /bin /boot /dev /etc /home /lib /lib32 /lib64 /libx32 /lost+found /media /mnt /opt /proc /root
	/run /sbin /snap /srv /sys /tmp /usr /var
	/usr/bin /usr/games /usr/include /usr/lib /usr/lib32 /usr/lib64 /usr/libexec /usr/libx32
	/usr/local /usr/sbin /usr/share /usr/src /usr/local/bin /usr/local/etc /usr/local/lib
	/usr/local/sbin /usr/local/share
	/var/backups /var/cache /var/lib /var/lock /var/log /var/mail /var/opt /var/run /var/spool /var/tmp`)

// kernelFolders are not for trees at any depth.
var kernelFolders = []string{"/proc/", "/sys/"}

// checkSystemFolder says when a path is a folder of the system rather than of a tree.
func checkSystemFolder(s string) *fault {
	within := func(folder string) bool { return strings.HasPrefix(s, folder) }
	if slices.Contains(systemFolders, s) || slices.ContainsFunc(kernelFolders, within) {
		return faultf("give the tree a folder of its own, such as /srv/NAME", "%s is a folder of the system", quote(s))
	}
	return nil
}

// defaultScratch returns the scratch folder of a destination: beside it, hence on its file system
// unless the destination is a mount point.
func defaultScratch(destination string) string {
	return path.Join(path.Dir(destination), ".fleetsync")
}
