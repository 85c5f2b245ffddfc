package sturdy_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// links: what a document points to is there.
func links(h *house) (wrong []string) {
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	for p, text := range h.texts {
		if path.Ext(p) != ".md" {
			continue
		}
		for _, m := range link.FindAllStringSubmatch(prose(text), -1) {
			to, _, _ := strings.Cut(m[1], "#")
			if to != "" && !strings.Contains(to, ":") && !h.has(path.Join(path.Dir(p), to)) {
				wrong = append(wrong, p+": links to "+m[1]+", which does not exist")
			}
		}
	}
	return wrong
}

// pathsInProse: a path of this repository that a document names, as ./path anywhere or in
// backquotes from the top, is there.
func pathsInProse(h *house) (wrong []string) {
	mention := regexp.MustCompile("(?m)(?:^|[\\s`\"'(])\\./([\\w./-]+)|`((?:runtime|objstore|caps|rpc|examples|cmd|\\.ci)/[\\w./*-]*)`")
	for _, p := range []string{"README.md", "ARCHITECTURE.md"} {
		for _, m := range mention.FindAllStringSubmatch(h.texts[p], -1) {
			named := strings.TrimRight(strings.TrimSuffix(m[1]+m[2], "/..."), "./")
			if named != "" && !h.has(named) {
				wrong = append(wrong, p+": names "+named+", which does not exist")
			}
		}
	}
	return wrong
}

// has reports whether something is at p, which may be a pattern.
func (h *house) has(p string) bool {
	found, err := fs.Glob(h.fsys, path.Clean(p))
	return err == nil && len(found) > 0
}

// exampleReadmes: an example explains itself in less than a page.
func exampleReadmes(h *house) (wrong []string) {
	for p, text := range h.texts {
		if ok, _ := path.Match("examples/*/README.md", p); ok && strings.Count(text, "\n") >= 40 {
			wrong = append(wrong, p+": 40 lines or more")
		}
	}
	return wrong
}

// commandsAreRun: the commands in a block that opens with "sh test" are in .ci/run, word for
// word.
func commandsAreRun(h *house) (wrong []string) {
	for _, b := range blocks(h.texts["README.md"]) {
		if b.info != "sh test" {
			continue
		}
		for line := range strings.Lines(b.text) {
			if line = strings.TrimSpace(line); line != "" && !strings.Contains(h.texts[".ci/run"], line) {
				wrong = append(wrong, "README.md: .ci/run does not run: "+line)
			}
		}
	}
	return wrong
}

// block is a fenced block of a document.
type block struct {
	info string // what stands behind the opening fence
	text string
}

func blocks(text string) (list []block) {
	fenced := regexp.MustCompile("(?ms)^```([^\n]*)\n(.*?)^```$")
	for _, m := range fenced.FindAllStringSubmatch(text, -1) {
		list = append(list, block{strings.TrimSpace(m[1]), m[2]})
	}
	return list
}

// prose is text without its fenced blocks.
func prose(text string) string {
	for _, b := range blocks(text) {
		text = strings.ReplaceAll(text, b.text, "")
	}
	return text
}

// TestProgramsInTheReadmeCompile builds each Go block of README.md that is a whole file, as
// if it stood in a folder of its own among the examples.
func TestProgramsInTheReadmeCompile(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Skip(err)
	}
	for i, b := range blocks(string(readme)) {
		if !strings.HasPrefix(b.info, "go") || !regexp.MustCompile(`(?m)^package \w+$`).MatchString(b.text) {
			continue
		}
		t.Run(fmt.Sprint("block ", i), func(t *testing.T) {
			if out, err := compile(t, b.text); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// TestAProgramThatDoesNotCompileIsNoticed shows that the overlay is used at all.
func TestAProgramThatDoesNotCompileIsNoticed(t *testing.T) {
	if out, err := compile(t, "package main\n\nfunc main() { println(\"hello\") }\n"); err != nil {
		t.Errorf("a whole program: %v\n%s", err, out)
	}
	if _, err := compile(t, "package main\n\nfunc main() { nowhere() }\n"); err == nil {
		t.Error("a broken program compiles")
	}
}

// compile vets program in a folder that exists only for the go command.
func compile(t *testing.T, program string) (output []byte, err error) {
	t.Helper()
	dir, root := t.TempDir(), must(t)(os.Getwd())
	file, overlay := filepath.Join(dir, "main.go"), filepath.Join(dir, "overlay.json")
	replace := map[string]string{filepath.Join(root, "examples", "readmeblock", "main.go"): file}
	content, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{file: []byte(program), overlay: content} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return exec.CommandContext(t.Context(), "go", "build", "-overlay", overlay, "-o", os.DevNull, "./examples/readmeblock").CombinedOutput()
}

func must(t *testing.T) func(string, error) string {
	return func(s string, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
}
