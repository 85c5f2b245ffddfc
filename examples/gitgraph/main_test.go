package gitgraph_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sturdyrt/sturdy/examples/gitgraph"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

var (
	seed        = flag.Uint64("seed", rand.Uint64(), "of what is chosen at random")
	extern      = flag.String("repo", "", "a repository to be imported and compared as well")
	externWorld = flag.String("world", "", "the world that it is imported into, rather than a new one")
)

// TestMain is also the process that TestAKilledImportGoesOn kills: it imports, and says so
// after each batch.
func TestMain(m *testing.M) {
	dir := os.Getenv("GITGRAPH_IMPORT")
	if dir == "" {
		flag.Parse()
		fmt.Println("seed", *seed)
		os.Exit(m.Run())
	}
	rt, err := sturdy.Open(os.Getenv("GITGRAPH_WORLD"), gitgraph.Kinds)
	if err == nil {
		_, err = gitgraph.Import(context.Background(), rt, dir, gitgraph.Options{Batch: 5, Progress: func(done, _ int) { fmt.Println(done) }})
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(0) // without Close: what is synced must do
}

// git runs git in dir, away from anybody's configuration.
func git(tb testing.TB, dir string, args ...string) string {
	tb.Helper()
	return gitWith(tb, dir, "", args...)
}

func gitWith(tb testing.TB, dir, stdin string, args ...string) string {
	tb.Helper()
	cmd := exec.Command("git", append([]string{"-C", dir}, args...)...)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "LC_ALL=C", "GIT_NO_REPLACE_OBJECTS=1")
	cmd.Stdin = strings.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		tb.Fatalf("git %s: %v\n%s", args, err, stderr.String())
	}
	return string(out)
}

// stream writes what git fast-import reads: the one way to make commits that no command of
// git's would make.
type stream struct {
	bytes.Buffer
	marks int
	clock int
}

type made struct {
	branch, author, message string
	from                    int   // mark of the first parent; 0: none
	merge                   []int // marks of the others
	at                      string
	extra                   string            // header lines
	files                   map[string]string // content by path; "-" removes
	raw                     string            // more file commands
}

// commit adds a commit and returns its mark.
func (s *stream) commit(m made) int {
	s.marks++
	s.clock += 3600
	if m.at == "" {
		m.at = fmt.Sprintf("%d +0100", 1_700_000_000+s.clock)
	}
	if m.author == "" {
		m.author = "Ann <ann@example.org>"
	}
	fmt.Fprintf(s, "commit %s\nmark :%d\nauthor %s %s\ncommitter C <c@example.org> %d +0000\n%s", m.branch, s.marks, m.author, m.at, 1_700_000_000+s.clock, m.extra)
	fmt.Fprintf(s, "data %d\n%s\n", len(m.message), m.message)
	if m.from > 0 {
		fmt.Fprintf(s, "from :%d\n", m.from)
	}
	for _, p := range m.merge {
		fmt.Fprintf(s, "merge :%d\n", p)
	}
	for path, content := range m.files {
		if content == "-" {
			fmt.Fprintf(s, "D %s\n", quote(path))
			continue
		}
		fmt.Fprintf(s, "M 100644 inline %s\ndata %d\n%s\n", quote(path), len(content), content)
	}
	s.WriteString(m.raw + "\n")
	return s.marks
}

func quote(path string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range []byte(path) {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			fmt.Fprintf(&b, "\\%03o", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String() + `"`
}

// into makes a repository of the stream.
func (s *stream) into(tb testing.TB, dir string) {
	tb.Helper()
	if _, err := os.Stat(dir); err != nil {
		git(tb, filepath.Dir(dir), "init", "-q", "--bare", "-b", "main", dir)
	}
	gitWith(tb, dir, s.String(), "fast-import", "--quiet", "--force", "--date-format=raw")
}

const main = "refs/heads/main"

// awkward makes a repository of everything that a reader of git may trip over.
func awkward(tb testing.TB) (dir string) {
	tb.Helper()
	dir = filepath.Join(tb.TempDir(), "awkward.git")
	s := &stream{}
	root := s.commit(made{branch: main, message: "root\n\nwith a body\n", files: map[string]string{"a.go": "1\n2\n", "with space": "x\n", "docs/b.md": "b\n"}})
	last := s.commit(made{branch: main, from: root, message: "names", author: "B\xf6b <bob@example.org>", files: map[string]string{
		"new\nline": "1\n", "tab\tand \"quote\"": "1\n", "latin1-\xe4\xf6": "1\n", "\\back": "1\n", "1\t2\tlooks like a count": "1\n", "snow\u2603": "1\n",
		":colon": "1\n", strings.Repeat("deep/", 500) + "file": "1\n", strings.Repeat("deep/", 500) + "other": "1\n", "-": "dash\n",
	}})
	last = s.commit(made{branch: main, from: last, message: "binary", files: map[string]string{"pic": "\x00\x01\x02", "a.go": "1\n2\n3\n"}})
	last = s.commit(made{branch: main, from: last, message: "rename", raw: "R a.go b.go\nC \"with space\" copy\n"})
	last = s.commit(made{branch: main, from: last, message: ""})
	last = s.commit(made{branch: main, from: last, message: "1\t2\tnot a file\n:100644 100644 a b M\n\n" + strings.Repeat("f", 40), files: map[string]string{"b.go": "0\n"}})
	last = s.commit(made{branch: main, from: last, message: "long " + strings.Repeat("\u00e4", 40_000), files: map[string]string{"b.go": "-"}})
	last = s.commit(made{branch: main, from: last, message: "\x1b[31mred \xff\xfe", author: "Ann <other-ann@example.org>", files: map[string]string{"docs/b.md": "bb\n"}})
	last = s.commit(made{branch: main, from: last, message: "gr\xfc\xdfe", extra: "encoding ISO-8859-1\n", author: " <>", files: map[string]string{"docs": "-", "docs/c.md": "c\n"}})
	last = s.commit(made{branch: main, from: last, message: "a link and a module", raw: "M 120000 inline link\ndata 4\na.go\nM 160000 " + strings.Repeat("12", 20) + " module\n"})
	last = s.commit(made{branch: main, from: last, message: "a file becomes a folder", files: map[string]string{"copy": "-", "copy/inside": "1\n"}})
	last = s.commit(made{branch: main, from: last, message: "before time", at: "0 -1200"})
	last = s.commit(made{branch: main, from: last, message: "after time", at: "2147483648000 +0000"})
	other := s.commit(made{branch: "refs/heads/orphan", message: "another root", files: map[string]string{"a.go": "orphan\n"}})
	var arms []int
	for i := range 5 {
		arms = append(arms, s.commit(made{branch: fmt.Sprintf("refs/heads/arm/%d", i), from: last, message: "arm", files: map[string]string{fmt.Sprintf("arm%d", i): "1\n", "a.go": fmt.Sprint(i)}}))
	}
	last = s.commit(made{branch: main, from: last, merge: append(arms, other), message: "octopus"})
	wide := map[string]string{}
	for i := range 700 {
		wide[fmt.Sprintf("wide/%d/%d", i%10, i)] = "1\n"
	}
	last = s.commit(made{branch: main, from: last, message: "wide", files: wide})
	left := s.commit(made{branch: "refs/heads/left", from: last, message: "left", files: map[string]string{"x": "1\n", "a.go": "left\n"}})
	right := s.commit(made{branch: "refs/heads/right", from: last, message: "right", files: map[string]string{"x": "2\n", "b.go": "right\n"}})
	l2 := s.commit(made{branch: "refs/heads/left", from: left, merge: []int{right}, message: "criss", files: map[string]string{"x": "evil\n"}})
	r2 := s.commit(made{branch: "refs/heads/right", from: right, merge: []int{left}, message: "cross"})
	last = s.commit(made{branch: main, from: l2, merge: []int{r2}, message: "together again"})
	fmt.Fprintf(s, "tag v1\nfrom :%d\ntagger T <t@example.org> 1700000000 +0000\ndata 2\nv1\n", last)
	fmt.Fprintf(s, "reset refs/tags/light\nfrom :%d\n\n", left)
	s.into(tb, dir)
	git(tb, dir, "-c", "user.name=T", "-c", "user.email=t@example.org", "tag", "-m", "tag of a tag", "v1again", "v1")
	git(tb, dir, "tag", "blob", "main:x")
	git(tb, dir, "tag", "tree", "main^{tree}")
	git(tb, dir, "replace", "main~1", "orphan")
	git(tb, dir, "config", "diff.renames", "copies")
	git(tb, dir, "config", "log.showRoot", "false")
	return dir
}
