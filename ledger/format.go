package ledger

import (
	"fmt"
	"io"
)

// What holds keys prints as its name, under every verb: fmt would otherwise walk into unexported
// fields, where a key's own Format method is not asked.

// Format prints no field.
func (*Ledger) Format(s fmt.State, _ rune) { io.WriteString(s, "[ledger]") }

func (*member) Format(s fmt.State, _ rune)      { io.WriteString(s, "[member]") }
func (*memberKey) Format(s fmt.State, _ rune)   { io.WriteString(s, "[key]") }
func (*submission) Format(s fmt.State, _ rune)  { io.WriteString(s, "[call]") }
func (*destruction) Format(s fmt.State, _ rune) { io.WriteString(s, "[destruction]") }
func (*topic) Format(s fmt.State, _ rune)       { io.WriteString(s, "[key]") }
func (*committer) Format(s fmt.State, _ rune)   { io.WriteString(s, "[committer]") }
func (*deepCheck) Format(s fmt.State, _ rune)   { io.WriteString(s, "[check]") }
