package cli

import "os"

// isTerminal reports whether somebody types or reads there. A device of characters that is
// not the null device is taken for a terminal, which needs no code per system.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(info, null)
}

// defaultColumns is how wide lines are where nobody says.
const defaultColumns = 100
