package main

import (
	"bufio"
	"errors"
	"fmt"
	"strings"
)

// ask asks a question that only y answers. The flag is what answers it without a user.
func (a *app) ask(question, flag string) error {
	_, _ = fmt.Fprintf(a.stderr, "%s [y/N] ", question)
	answer, err := bufio.NewReader(a.stdin).ReadString('\n')
	if strings.ToLower(strings.TrimSpace(answer)) == "y" {
		return nil
	}
	if err != nil {
		return usage(errors.New("nobody answers"), flag)
	}
	return usage(errors.New("not confirmed; nothing was touched"), "")
}
