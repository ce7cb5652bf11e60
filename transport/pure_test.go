package transport

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestQuote: what is quoted is read back by a real shell.
func TestQuote(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SliceOfN(rapid.OneOf(rapid.String(), rapid.StringMatching(`['"\\$ \n!*-]{0,8}`)), 1, 20).Draw(t, "words")
		for i := range words {
			words[i] = strings.ReplaceAll(words[i], "\x00", "")
		}
		out, err := exec.Command("sh", "-c", `printf '%s\0' `+Quote(words...)).Output()
		if want := strings.Join(words, "\x00") + "\x00"; err != nil || string(out) != want {
			t.Fatalf("%q is read as %q, %v", want, out, err)
		}
	})
}

func TestWrapped(t *testing.T) {
	argv, err := Wrapped(Command{Args: []string{"rsync", "-a"}, Stdin: []byte("abc")}, "mwdeploy", 0)
	if diff := cmp.Diff([]string{"sudo", "-n", "-u", "mwdeploy", "--", "sh", "-c", wrapper, "fleetsync", "1.000", "3", "rsync", "-a"},
		argv); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

// TestWrapperWaitsForItsInput: a command whose input was cut off is not started.
func TestWrapperWaitsForItsInput(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "mark")
	argv, err := Wrapped(Command{Args: []string{"touch", mark}, Stdin: []byte("+ /wmf-config\n- *\n")}, "", 0)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdin = strings.NewReader("+ /wmf")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != 143 || string(out) != "input ended after 6 of 18 bytes\n" {
		t.Errorf("%v: %s", err, out)
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("the command was started")
	}
}

func TestNeutral(t *testing.T) {
	for in, want := range map[string]string{
		"plain é 漢":                 "plain é 漢",
		"\x1b]0;title\x07\x1b[2Jx":  "]0;title[2Jx",
		"c1 \u009b31m \u0085":       "c1 31m ",
		"\u202etxt.exe\u2066\u200f": "txt.exe",
		"a\tb\u2028c\x7f":           "a bc",
		"bad \xff\x9b31m":           "bad \ufffd31m",
		"two\r\nlines":              "two  lines",
	} {
		if got := Neutral(in); got != want {
			t.Errorf("%q: %q, not %q", in, got, want)
		}
	}
}

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
	if len(logged) != 2 || len(logged[0]) != MaxLine || logged[1] != "last" || len(l.String()) > MaxLine {
		t.Errorf("%d lines, %d bytes kept", len(logged), len(l.String()))
	}
}

func TestSummary(t *testing.T) {
	for in, want := range map[string]string{
		"": "",
		"@ERROR: Unknown module 'x'\nrsync error: error starting client-server protocol (code 5) at main.c(1) [Receiver=3.5.0]": "@ERROR: Unknown module 'x'",
		"rsync error: timeout (code 30)": "rsync error: timeout (code 30)",
		"a\nb\nc\nd":                     "b; c; d",
	} {
		if got := Summary(in); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
	if got := Summary(strings.Repeat("é", 1000)); len(got) > 510 || !utf8.ValidString(got) {
		t.Errorf("%q", got)
	}
}
