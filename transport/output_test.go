package transport

import (
	"strings"
	"testing"
)

func TestLinesAreBounded(t *testing.T) {
	var logged []string
	l := Lines{Keep: 20, Log: func(s string) { logged = append(logged, s) }}
	for range 100 {
		if _, err := l.Write([]byte(strings.Repeat("x", 1000))); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.Write([]byte("\nlast\r")); err != nil {
		t.Fatal(err)
	}
	if len(logged) != 2 || len(logged[0]) != maxLine || logged[1] != "last" || len(l.String()) > maxLine {
		t.Errorf("%d lines, %d bytes kept", len(logged), len(l.String()))
	}
}
