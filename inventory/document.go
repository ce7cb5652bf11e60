package inventory

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// maxFile is the size of a file that is still read, in bytes: a hundred thousand hosts, a line each.
const maxFile = 8 << 20

// maxProblems bounds what is reported of one file.
const maxProblems = 10_000

// secret matches lines that no error may repeat: errors end up in terminals, tickets and logs.
var secret = regexp.MustCompile(`(?i)(password|authorization|cookie|token)["']?\s*:|://[^/]*@`)

// document is one YAML file while it is read: its text, and what was found wrong with it so far.
type document struct {
	name     string
	lines    []string
	problems Problems
	sources  map[int]string // what problems show of a line, by its number

	names    int // made from patterns so far; see maxWork
	searches int // for a host to suggest so far; see maxSearches
}

// read returns the content of a file. It is not for content from strangers: it follows links, and
// waits for a pipe.
func read(path, what string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the %s: %w", what, err)
	}
	defer func() { _ = file.Close() }() // nothing was written
	data, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read the %s: %w", what, err)
	}
	return data, nil
}

// parse returns a document and the node at its root. The root is nil if the text is not a single YAML
// document, or holds what a strict reader has no use for; the document then has the problems.
func parse(name string, data []byte) (*document, *yaml.Node) {
	d := &document{name: name}
	if len(data) > maxFile {
		d.reportAt(1, 1, "an inventory says much with ranges, groups and defaults", "the file is larger than %d MiB", maxFile>>20)
		return d, nil
	}
	text := strings.TrimPrefix(string(data), "\ufeff")
	d.lines = strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	if d.refuseBytes(); len(d.problems) > 0 {
		return d, nil
	}
	root, err := decode(text)
	if err != nil {
		d.reportSyntax(err)
		return d, nil
	}
	if root == nil || isNull(root) {
		d.reportAt(1, 1, "", "the file is empty")
		return d, nil
	}
	d.refuseFeatures(root)
	return d, root
}

// decode returns the root node of a text's only document, nil if it has none.
func decode(text string) (root *yaml.Node, err error) {
	defer func() {
		// A panic of the YAML library is no reason to die with a stack trace: to the person who
		// wrote the file it is one more syntax error.
		if r := recover(); r != nil {
			root, err = nil, fmt.Errorf("yaml: %v", r)
		}
	}()
	decoder := yaml.NewDecoder(bytes.NewReader([]byte(text)))
	var first, second yaml.Node
	switch err := decoder.Decode(&first); {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return nil, err
	}
	switch err := decoder.Decode(&second); {
	case err == nil:
		return nil, fmt.Errorf("yaml: line %d: a second document begins", second.Line)
	case !errors.Is(err, io.EOF):
		return nil, err
	}
	if len(first.Content) == 0 {
		return nil, nil
	}
	return first.Content[0], nil
}

// refuseBytes reports what no text file should hold. NEL, LS and PS are line breaks to YAML 1.1 and
// to nobody else, so a line number would mean two things.
func (d *document) refuseBytes() {
	const hint = "save the file as plain UTF-8 text, without control characters"
	for i, line := range d.lines {
		column := 0
		for offset, r := range line {
			column++
			_, size := utf8.DecodeRuneInString(line[offset:])
			switch {
			case r == utf8.RuneError && size == 1:
				d.reportAt(i+1, column, hint, "byte %#02x is not UTF-8", line[offset])
			case r < ' ' && r != '\t', r == 0x7f, r >= 0x80 && r < 0xa0, r == '\u2028', r == '\u2029', r == '\ufeff', r == '\ufffe', r == '\uffff':
				d.reportAt(i+1, column, hint, "control character %U", r)
			default:
				continue
			}
			break // one a line is enough
		}
	}
}

// syntaxHints says what most often is behind a message of the YAML library.
var syntaxHints = []struct{ message, hint string }{
	{"cannot start any token", `indent with spaces, not tabs, and put quotes around a value that begins with @, % or a backquote: "@group"`},
	{"tab character", "indent with spaces, not tabs"},
	{"did not find expected ',' or", `inside [ ] and { } put quotes around what holds brackets or braces: ["mw[1-3]"]`},
	{"did not find expected", "look at the indentation and the quotes from this line on"},
	{"mapping values are not allowed", "look at the indentation here, and put quotes around a value that holds a colon and a space"},
	{"could not find expected ':'", "each line of a mapping is KEY: VALUE"},
	{"unexpected end of stream", "close the quote or bracket that is still open"},
	{"second document", "keep one, and put others into files of their own"},
}

var syntaxMessage = regexp.MustCompile(`^yaml: (?:line ([0-9]+): )?((?s).*)$`)

// blockMessage matches the errors of the library's parser, which counts lines from 0; its scanner
// counts from 1 (yaml.v3 3.0.1, decode.go, fail).
var blockMessage = regexp.MustCompile(`^did not find expected (key|node content|'-' indicator|',' or|<)`)

func (d *document) reportSyntax(err error) {
	line, message := 1, err.Error()
	if m := syntaxMessage.FindStringSubmatch(message); m != nil {
		line, _ = strconv.Atoi(m[1]) // empty: the first line
		message = m[2]
		if blockMessage.MatchString(message) {
			line++
		}
		line = min(max(line, 1), len(d.lines))
	}
	hint := ""
	for _, h := range syntaxHints {
		if strings.Contains(message, h.message) {
			hint = h.hint
			break
		}
	}
	source := d.lines[line-1]
	indent := len(source) - len(strings.TrimLeft(source, " "))
	d.reportAt(line, indent+1, hint, "not valid YAML: %s", escape(message))
}

// refuseFeatures reports every use of a feature that hides what a value is: an alias can also blow up
// a file of a kilobyte to gigabytes, and a tag can change what a value means.
func (d *document) refuseFeatures(n *yaml.Node) {
	const hint = "write the value out; defaults, ranges and groups keep a file short"
	switch {
	case n.Kind == yaml.AliasNode:
		d.report(n, hint, "YAML aliases are not supported")
		return // not into what it refers to
	case n.Anchor != "":
		d.report(n, hint, "YAML anchors are not supported")
	case n.Style&yaml.TaggedStyle != 0:
		d.report(n, "remove it", "YAML tags are not supported")
	case n.Tag == "!!merge":
		d.report(n, hint, "YAML merge keys are not supported")
	}
	for _, child := range n.Content {
		d.refuseFeatures(child)
	}
}

// report adds a problem at the start of a node.
func (d *document) report(n *yaml.Node, hint, format string, args ...any) {
	d.reportAt(n.Line, n.Column, hint, format, args...)
}

// reportFault adds the problem that is a fault in a scalar's text.
func (d *document) reportFault(n *yaml.Node, f *fault) {
	column := n.Column
	if f.offset > 0 && f.offset <= len(n.Value) {
		exact := column + utf8.RuneCountInString(n.Value[:f.offset])
		if n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 {
			exact++
		}
		if exact <= utf8.RuneCountInString(d.lines[n.Line-1]) { // not so in a scalar of several lines
			column = exact
		}
	}
	d.reportAt(n.Line, column, f.hint, "%s", f.message)
}

func (d *document) reportAt(line, column int, hint, format string, args ...any) {
	if len(d.problems) == maxProblems {
		return
	}
	d.problems = append(d.problems, Problem{
		File:    d.name,
		Line:    line,
		Column:  column,
		Source:  d.source(line),
		Message: fmt.Sprintf(format, args...),
		Hint:    hint,
	})
}

// source returns what a problem shows of a line. Each line is searched for secrets once: a file may be
// a single line with a thousand mistakes.
func (d *document) source(line int) string {
	if s, known := d.sources[line]; known {
		return s
	}
	if d.sources == nil {
		d.sources = map[int]string{}
	}
	s := ""
	if line <= len(d.lines) && !secret.MatchString(d.lines[line-1]) {
		s = d.lines[line-1]
	}
	d.sources[line] = s
	return s
}
