package main

import (
	"bufio"
	"errors"
	"io"
	"os"
	"strings"
)

// readToken reads an API key from the first line of a file, or from stdin. What
// is wrong with it is told without showing it.
func readToken(path string) (string, error) {
	var in io.Reader = os.Stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return "", err
		}
		defer f.Close()
		in = f
	}
	line, err := bufio.NewReader(io.LimitReader(in, 4<<10)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	token := strings.TrimRight(line, "\r\n")
	odd := func(r rune) bool { return r <= ' ' || r > '~' }
	if token == "" || strings.ContainsFunc(token, odd) {
		return "", errors.New("its first line is no API key: write the key there, as it was shown when it was made, and nothing else")
	}
	return token, nil
}
