package testfleet

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"text/template"
)

// plain are paths and names that mean the same without quotes, {host} included outside of brackets.
var (
	plain      = regexp.MustCompile(`^/[A-Za-z0-9/._-]+$|^[a-z0-9]+\.[a-z]+\.wmnet$`)
	plainBlock = regexp.MustCompile(`^/[A-Za-z0-9/._{}-]+$`)
)

// blockPath returns a path as a YAML scalar that is not within brackets.
func blockPath(s string) string {
	if plainBlock.MatchString(s) {
		return s
	}
	return quoted(s)
}

// quoted returns a YAML scalar. Every JSON string is a double-quoted scalar of YAML 1.2 (chapter 1.3).
func quoted(s string) string {
	if plain.MatchString(s) {
		return s
	}
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // no string fails, and no Builder
	return strings.TrimSuffix(b.String(), "\n")
}

func flow(items []string) string {
	all := make([]string, len(items))
	for i, item := range items {
		all[i] = quoted(item)
	}
	return "[" + strings.Join(all, ", ") + "]"
}

func parse(text string) *template.Template {
	return template.Must(template.New("").Funcs(template.FuncMap{"q": quoted, "path": blockPath, "flow": flow}).Parse(text))
}

func render(t *template.Template, data any) ([]byte, error) {
	var b bytes.Buffer
	err := t.Execute(&b, data)
	return b.Bytes(), err
}
