package ssh

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // what known_hosts files hash names with
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	xssh "golang.org/x/crypto/ssh"
)

// knownHosts are the keys that known_hosts files have, as sshd(8), SSH_KNOWN_HOSTS FILE FORMAT, says.
// A file is read again when it has changed.
//
// golang.org/x/crypto/ssh/knownhosts is not enough: one line that it cannot read makes a file useless
// to it, it takes the key of an authority for a host's own, matches no pattern to a host on another port, tries
// every line for every host, and does not tell which keys it has, so that one cannot ask the host for one of those.
type knownHosts struct {
	mu    sync.Mutex
	files map[string]*knownFile
}

// knownFile is one file as it was at a time. Nothing in it is changed.
type knownFile struct {
	size     int64
	modified time.Time

	exact    map[string][]*knownLine // by name
	patterns []*knownLine            // all else
}

type knownLine struct {
	marker string // "", cert-authority, revoked
	names  []string
	key    xssh.PublicKey
	blob   string // the key as it goes over the wire
}

// parseKnownHosts reads a file. Lines that cannot be read are left out, as ssh does: other versions know other keys.
func parseKnownHosts(text []byte) *knownFile {
	f := &knownFile{exact: map[string][]*knownLine{}}
	for line := range bytes.SplitSeq(text, []byte("\n")) {
		marker, names, key, _, _, err := xssh.ParseKnownHosts(line)
		if err != nil || (marker != "" && marker != "cert-authority" && marker != "revoked") {
			continue
		}
		l := &knownLine{marker: marker, names: names, key: key, blob: string(key.Marshal())}
		if slices.ContainsFunc(names, func(n string) bool { return n == "" || strings.ContainsAny(n, "*?!|") }) {
			f.patterns = append(f.patterns, l)
			continue
		}
		for _, n := range names {
			n = strings.ToLower(n)
			f.exact[n] = append(f.exact[n], l)
		}
	}
	return f
}

// matches tells whether a line is of a name (hostfile.c: match_hostname). A pattern with a ! that
// matches makes it not so, whatever the others say.
func (l *knownLine) matches(name string) bool {
	found := false
	for _, p := range l.names {
		not := strings.HasPrefix(p, "!")
		p = strings.TrimPrefix(p, "!")
		var is bool
		if strings.HasPrefix(p, "|") {
			is = hashMatches(p, name)
		} else {
			is = wildcard(strings.ToLower(p), name)
		}
		if is && not {
			return false
		}
		found = found || is
	}
	return found
}

// hashMatches tells whether |1|salt|hash is of a name (hostfile.c: host_hash).
func hashMatches(hashed, name string) bool {
	parts := strings.Split(hashed, "|")
	if len(parts) != 4 || parts[0] != "" || parts[1] != "1" {
		return false
	}
	salt, err1 := base64.StdEncoding.DecodeString(parts[2])
	hash, err2 := base64.StdEncoding.DecodeString(parts[3])
	if err1 != nil || err2 != nil {
		return false
	}
	mac := hmac.New(sha1.New, salt)
	mac.Write([]byte(name))
	return hmac.Equal(mac.Sum(nil), hash)
}

func (k *knownHosts) read(name string) (*knownFile, error) {
	info, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return &knownFile{}, nil
	}
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if f := k.files[name]; f != nil && f.size == info.Size() && f.modified.Equal(info.ModTime()) {
		return f, nil
	}
	if !info.Mode().IsRegular() { // /dev/null says that there are none
		return &knownFile{}, nil
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	f := parseKnownHosts(text)
	f.size, f.modified = info.Size(), info.ModTime()
	if k.files == nil {
		k.files = map[string]*knownFile{}
	}
	k.files[name] = f
	return f, nil
}

func (e *untrusted) Error() string { return e.message }
