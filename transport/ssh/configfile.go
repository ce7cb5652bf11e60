package ssh

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"sync"
)

// configFiles are the files of ssh_config(5), read once.
type configFiles struct {
	mu    sync.Mutex
	files map[string]configFile
}

// configFile is one of them. A file that is not there has no lines.
type configFile struct {
	lines []configLine
	err   error
	mode  fs.FileInfo
}

// configLine is one line: a keyword in lower case, and its arguments.
type configLine struct {
	keyword string
	args    []string
	rest    string // the arguments as they stand, for what reads them in another way
	number  int
	err     error // it cannot be read; the program stops at it
}

// parseConfigFile reads a file as readconf.c of OpenSSH 9.2 does.
func parseConfigFile(text string) []configLine {
	var lines []configLine
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimLeft(strings.TrimRight(line, " \t\r\n\f"), " \t\r")
		if line == "" || line[0] == '#' {
			continue
		}
		l := configLine{number: i + 1}
		end := strings.IndexAny(line, " \t\r=")
		if end < 0 {
			end = len(line)
		}
		l.keyword = strings.ToLower(line[:end])
		l.rest = strings.TrimLeft(line[end:], " \t\r")
		if strings.HasPrefix(l.rest, "=") {
			l.rest = strings.TrimLeft(l.rest[1:], " \t\r")
		}
		switch {
		case strings.ContainsAny(line, "\x00"), strings.ContainsAny(l.keyword, `"`):
			l.err = errors.New("cannot be read")
		case l.rest == "":
			l.err = errors.New("has no argument")
		default:
			l.args, l.err = splitArgs(l.rest)
		}
		lines = append(lines, l)
	}
	return lines
}

// splitArgs is argv_split of OpenSSH's misc.c: quotes of both kinds, few escapes, and a comment
// where a word could begin.
func splitArgs(s string) ([]string, error) {
	var args []string
	for i := 0; i < len(s); i++ {
		if s[i] == ' ' || s[i] == '\t' {
			continue
		}
		if s[i] == '#' {
			break
		}
		var quote byte
		var arg []byte
		for ; i < len(s); i++ {
			c := s[i]
			if c == '\\' && i+1 < len(s) && (strings.IndexByte(`'"\`, s[i+1]) >= 0 || (quote == 0 && s[i+1] == ' ')) {
				i++
				arg = append(arg, s[i])
			} else if quote == 0 && (c == ' ' || c == '\t') {
				break
			} else if quote == 0 && (c == '"' || c == '\'') {
				quote = c
			} else if quote != 0 && c == quote {
				quote = 0
			} else {
				arg = append(arg, c)
			}
		}
		if quote != 0 {
			return nil, errors.New("has a quote that does not end")
		}
		args = append(args, string(arg))
	}
	return args, nil
}

func (f *configFiles) read(name string) configFile {
	f.mu.Lock()
	defer f.mu.Unlock()
	if file, ok := f.files[name]; ok {
		return file
	}
	var file configFile
	text, err := os.ReadFile(name)
	if err == nil {
		file.lines = parseConfigFile(string(text))
		file.mode, err = os.Stat(name)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		file.err = err
	}
	if f.files == nil {
		f.files = map[string]configFile{}
	}
	f.files[name] = file
	return file
}
