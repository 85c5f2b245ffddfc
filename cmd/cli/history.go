package cli

import (
	"bufio"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

// maxHistory is how many inputs are kept.
const maxHistory = 2000

// history is what was typed, in a file of the user's own, an input a line in quotes. What
// cannot be written is forgotten when the process ends, and so is what may hold a secret. It implements readline's Source.
type history struct {
	inputs []string
	file   *os.File // nil: not kept
}

// openHistory reads the history; it is empty if there is none yet or it cannot be kept.
func openHistory() *history {
	h := &history{}
	path, err := historyPath()
	if err != nil {
		return h
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return h
	}
	h.file, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		h.file = nil
		return h
	}
	h.read()
	return h
}

// historyPath is where the system wants what a program remembers.
func historyPath() (string, error) {
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "sturdy", "history"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(home, ".local", "state", "sturdy", "history"), nil
}

func (h *history) read() {
	lines := bufio.NewScanner(h.file)
	for lines.Scan() {
		if input, err := strconv.Unquote(lines.Text()); err == nil {
			h.inputs = append(h.inputs, input)
		}
	}
	if len(h.inputs) > 2*maxHistory {
		h.trim()
	}
}

// trim keeps the newest inputs.
func (h *history) trim() {
	h.inputs = h.inputs[len(h.inputs)-maxHistory:]
	if err := h.file.Truncate(0); err != nil {
		return
	}
	for _, input := range h.inputs {
		h.append(input)
	}
}

// append adds to the file; one that fails is not used again.
func (h *history) append(input string) {
	if h.file == nil {
		return
	}
	if _, err := h.file.WriteString(strconv.Quote(input) + "\n"); err != nil {
		h.file = nil
	}
}

// Write adds an input, unless it is the one before again.
func (h *history) Write(input string) (int, error) {
	if n := len(h.inputs); input != "" && (n == 0 || h.inputs[n-1] != input) {
		h.inputs = append(h.inputs, input)
		if !secretive(input) {
			h.append(input)
		}
	}
	return len(h.inputs), nil
}

// GetLine returns the input at i.
func (h *history) GetLine(i int) (string, error) {
	if i < 0 || i >= len(h.inputs) {
		return "", errors.Join(errNoInput, fs.ErrNotExist)
	}
	return h.inputs[i], nil
}

// errNoInput is the answer for a position that the history does not have.
var errNoInput = errors.New("no such input")

// Len is the number of inputs.
func (h *history) Len() int { return len(h.inputs) }

// Dump returns the inputs.
func (h *history) Dump() any { return h.inputs }
