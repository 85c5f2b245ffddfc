package objstore

import (
	"encoding/binary"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// docTable is the indented lines below a heading of doc.go, up to the next heading.
func docTable(t *testing.T, heading string) []string {
	t.Helper()
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	var table []string
	in := false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, "// # ") {
			in = line == "// # "+heading
		}
		if row, ok := strings.CutPrefix(line, "//\t"); ok && in {
			table = append(table, row)
		}
	}
	if len(table) == 0 {
		t.Fatalf("doc.go has no table under %q", heading)
	}
	return table
}

func firstWords(rows []string) []string {
	var words []string
	for _, r := range rows {
		words = append(words, strings.Fields(r)[0])
	}
	return words
}

func wantWords(t *testing.T, heading string, want ...string) {
	t.Helper()
	if got := firstWords(docTable(t, heading)); !slices.Equal(got, want) {
		t.Errorf("%s: doc.go has %q, the code %q", heading, got, want)
	}
}

func TestDocHoldsTheNamesInTheCode(t *testing.T) {
	wantWords(t, "World directory", storeName, storeName+newSuffix, segmentName(1), lockName)
	wantWords(t, "Store file", metaFormat, metaWorld, metaLineage, metaCheckpoint, "link", "record", "slot", "path")
	wantWords(t, "Keys", string(rune(spaceCount)), string(rune(spaceElement)), string(rune(spaceKind)),
		string(rune(spaceObject)), string(rune(spaceRef)))
	rows := strings.Join(docTable(t, "Store file"), "\n")
	if !strings.Contains(rows, fmt.Sprintf("from 1 to %d", maxPath)) {
		t.Errorf("the longest path is %d bytes", maxPath)
	}
	versions := docTable(t, "Versions")
	if len(versions) != format {
		t.Errorf("%d versions in doc.go, format is %d", len(versions), format)
	}
}

func TestDocHoldsTheFrameInTheCode(t *testing.T) {
	at := map[string]int{
		"magic": frameAtMagic, "sum of everything": frameAtSum, "length": frameAtLength, "sum of the frame": frameAtPrev,
		"incarnation": frameAtIncarnation, "lsn": frameAtLSN, "base": frameAtBase, "next": frameAtNext, "rows": frameHead,
	}
	table := docTable(t, "Journal")
	for field, offset := range at {
		found := slices.ContainsFunc(table, func(row string) bool {
			f := strings.Fields(row)
			return f[0] == fmt.Sprint(offset) && strings.HasPrefix(strings.Join(f[1:], " "), field)
		})
		if !found {
			t.Errorf("doc.go does not have %s at %d", field, offset)
		}
	}
	if len(table) != len(at) {
		t.Errorf("%d lines in doc.go, %d fields", len(table), len(at))
	}
	magic := binary.LittleEndian.AppendUint32(nil, frameMagic)
	if !strings.Contains(table[0], string(magic)) {
		t.Errorf("magic is %q", magic)
	}
}

// TestDocHoldsTheSizesInTheCode adds up the fixed fields of rows and meta rows.
func TestDocHoldsTheSizesInTheCode(t *testing.T) {
	want := map[string]int{
		metaFormat: 4, metaWorld: worldBytes, metaLineage: lineageBytes, metaCheckpoint: checkpointBytes,
		"link": linkHead,
	}
	size := regexp.MustCompile(`u(8|16|32|64)\b|(\d+) bytes|\bsum\b`)
	for _, row := range docTable(t, "Store file") {
		name := strings.Fields(row)[0]
		n := 0
		for _, m := range size.FindAllStringSubmatch(row, -1) {
			bits, bytes := 0, 0
			fmt.Sscan(m[1], &bits)
			fmt.Sscan(m[2], &bytes)
			if m[0] == "sum" {
				bytes = crcBytes
			}
			n += bits/8 + bytes
		}
		if w, ok := want[name]; ok && n != w {
			t.Errorf("%s: %d bytes in doc.go, %d in the code", name, n, w)
		}
	}
}

// TestDocHoldsTheInvariantsInTheCode looks for the numbers that Check uses.
func TestDocHoldsTheInvariantsInTheCode(t *testing.T) {
	text, err := os.ReadFile("check.go")
	if err != nil {
		t.Fatal(err)
	}
	var used []string
	for _, m := range regexp.MustCompile(`fault\((\d+),`).FindAllStringSubmatch(string(text), -1) {
		if w := "I" + m[1]; !slices.Contains(used, w) {
			used = append(used, w)
		}
	}
	slices.Sort(used)
	wantWords(t, "Invariants", used...)
}
