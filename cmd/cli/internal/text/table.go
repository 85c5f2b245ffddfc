package text

import (
	"strings"

	"github.com/rivo/uniseg"
)

// Width is how many columns a terminal needs for s.
func Width(s string) int { return uniseg.StringWidth(s) }

// Cut returns s if it is at most width columns wide, else its beginning and "…".
func Cut(s string, width int) string {
	if len(s) <= width || Width(s) <= width {
		return s
	}
	used, end := 0, 0
	for g := uniseg.NewGraphemes(s); g.Next(); {
		if used += g.Width(); used > width-1 {
			break
		}
		_, end = g.Positions()
	}
	return s[:end] + "…"
}

// Table returns rows with their columns below each other, two blanks apart, each line at
// most width columns wide (0: as wide as it gets) and with a line feed at its end. Columns
// listed in right are aligned to the right.
func Table(rows [][]string, width int, right ...int) string {
	widths := columns(rows)
	flush := map[int]bool{}
	for _, c := range right {
		flush[c] = true
	}
	var b strings.Builder
	for _, row := range rows {
		line := tableLine(row, widths, flush)
		if width > 0 {
			line = Cut(line, width)
		}
		b.WriteString(line)
		b.WriteByte('\n')
	}
	return b.String()
}

func columns(rows [][]string) (widths []int) {
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], Width(cell))
		}
	}
	return widths
}

func tableLine(row []string, widths []int, flush map[int]bool) string {
	var b strings.Builder
	for i, cell := range row {
		gap := strings.Repeat(" ", widths[i]-Width(cell))
		if i > 0 {
			b.WriteString("  ")
		}
		if flush[i] {
			b.WriteString(gap + cell)
		} else {
			b.WriteString(cell + gap)
		}
	}
	return strings.TrimRight(b.String(), " ")
}
