package gitgraph

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// all parses output to its end.
func all(r io.Reader) (list []*entry, err error) {
	p := newParser(r)
	for {
		e, err := p.next()
		if errors.Is(err, io.EOF) {
			return append(list, p.rest), nil
		}
		if err != nil {
			return list, err
		}
		list = append(list, e)
	}
}

const hashA, hashB = "0123456789012345678901234567890123456789", "abcdefabcdefabcdefabcdefabcdefabcdefabcd"

func header(hash, message string) string {
	return hash + "\x00" + hashA + " " + hashB + "\x00Ann\x00ann@example.org\x001700000000\x00" + message + "\x00\x00"
}

func TestOutputIsReadInPiecesOfAnySize(t *testing.T) {
	long := strings.Repeat("long/", 40_000)
	output := header(hashA, "1\t2\tno file\n") + "\n1\t2\tpath\x00-\t-\tbinary\x00" +
		header(hashB, "") + "\n3\t0\t\nnew\tline\x00" + header(hashA, "merge") + header(hashB, "raw") +
		"\n:100644 100644 a b M\x00" + long + "\x00"
	for name, r := range map[string]io.Reader{"whole": strings.NewReader(output), "bytes": iotest.OneByteReader(strings.NewReader(output))} {
		list, err := all(r)
		if err != nil || len(list) != 4 {
			t.Fatalf("%s: %d commits, %v", name, len(list), err)
		}
		want := [][]line{{{"path", 1, 2}, {"binary", -1, -1}}, {{"\nnew\tline", 3, 0}}, {}, {{long, -1, -1}}}
		for i, e := range list {
			if len(e.changes) != len(want[i]) || len(e.parents) != 2 || e.author != "Ann <ann@example.org>" {
				t.Fatalf("%s: %+v", name, e)
			}
			for j, l := range e.changes {
				if l != want[i][j] {
					t.Errorf("%s: %+v instead of %+v", name, l, want[i][j])
				}
			}
		}
	}
}

func TestOutputThatEndsInTheMiddle(t *testing.T) {
	output := header(hashA, "one") + "\n1\t2\tpath\x00" + header(hashB, "two") + "\n1\t2\tpath\x00"
	for n := range len(output) {
		list, err := all(strings.NewReader(output[:n]))
		for _, e := range list {
			if err == nil && e != nil && (e.hash != hashA && e.hash != hashB || len(e.changes) > 1) {
				t.Errorf("cut at %d: %+v", n, e)
			}
		}
	}
}

func FuzzParser(f *testing.F) {
	f.Add(header(hashA, "message") + "\n1\t2\tpath\x00" + header(hashB, "") + "\n:1 2 a b M\x00path\x00")
	f.Fuzz(func(t *testing.T, output string) {
		list, err := all(strings.NewReader(output))
		for _, e := range list {
			if err == nil && e != nil && !isHash(e.hash) {
				t.Errorf("%q is no hash", e.hash)
			}
		}
	})
}
