package sturdy_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
)

// breach is a file that breaks a rule.
type breach struct{ rule, path, content string }

func breaches() []breach {
	long := func(n int) string { return "package caps\n\nfunc f() {\n" + strings.Repeat("\tf()\n", n) + "}\n" }
	uses := func(pkg, imp, use string) string {
		return fmt.Sprintf("package %s\n\nimport %q\n\nfunc f() { _ = %s }\n", pkg, imp, use)
	}
	imports := func(pkg, imp string) string { return fmt.Sprintf("package %s\n\nimport _ %q\n", pkg, imp) }
	many := ""
	for i := range 81 {
		many += fmt.Sprintf("\tN%d = 1\n", i)
	}
	return []breach{
		{"layout", "util/util.go", "package util"},
		{"import graph", "caps/a.go", imports("caps", modulePath+"/objstore")},
		{"import graph", "objstore/a.go", imports("objstore", modulePath+"/caps")},
		{"import graph", "runtime/a_test.go", imports("sturdy", modulePath+"/cmd/cli")},
		{"import graph", "rpc/a.go", imports("rpc", modulePath+"/cmd/sturdy")},
		{"third parties", "caps/a.go", imports("caps", "go.etcd.io/bbolt")},
		{"third parties", "runtime/a.go", imports("sturdy", "capnproto.org/go/capnp/v3")},
		{"third parties", "cmd/sturdy/a.go", imports("main", "github.com/hashicorp/raft")},
		{"test support", "runtime/a.go", imports("sturdy", modulePath+"/objstore/objstoretest")},
		{"file length", "caps/a.go", "package caps" + strings.Repeat("\n", 601)},
		{"function length", "caps/a.go", long(79)},
		{"function median", "caps/a.go", long(9)},
		{"doc comments", "caps/a.go", "package caps\n\n// Makes a thing.\nfunc New() {}\n"},
		{"doc comments", "caps/a.go", "package caps\n\ntype Thing int\n"},
		{"doc comments", "caps/a.go", "package caps\n\nconst Thing = 1\n"},
		{"doc comments", "caps/a.go", "package caps\n\nfunc (t *Thing[A]) Do() {}\n"},
		{"package docs", "cmd/sturdy/main.go", "package main"},
		{"package docs", "caps/a.go", "// Vocabulary.\npackage caps"},
		{"no init", "caps/a.go", "package caps\n\nfunc init() {}\n"},
		{"no package vars", "caps/a.go", "package caps\n\nvar last int\n"},
		{"no package vars", "objstore/a.go", "package objstore\n\nvar m = map[int]int{}\n\nfunc f() { m[1] = 2 }\n"},
		{"allowances", "caps/a.go", "package caps\n\nvar table = []int{}\n"},
		{"allowances", "objstore/a.go", "package objstore\n"},
		{"ambient access", "objstore/a.go", uses("objstore", "time", "time.Now")},
		{"ambient access", "runtime/a.go", imports("sturdy", "math/rand/v2")},
		{"no package vars", "objstore/a.go", "package objstore\n\nvar m = []int{}\n\nfunc f() { g(&m) }\n"},
		{"ambient access", "caps/defaults.go", uses("caps", "time", "time.Now()")},
		{"ambient access", "caps/a.go", imports("caps", "net/netip")},
		{"ambient access", "caps/a.go", imports("caps", "os")},
		{"no sleeping", "caps/a_test.go", uses("caps", "time", "time.Sleep")},
		{"nothing put off", "caps/a.go", "package caps // FIX" + "ME"},
		{"exported names", "objstore/a.go", "package objstore\n\nconst (\n" + many + ")\n"},
		{"exported names", "runtime/a.go", "package sturdy\n\nconst (\n" + many + ")\n"},
		{"links", "README.md", "[how](doc/how.md)"},
		{"paths in prose", "README.md", "go run ./examples/nowhere"},
		{"paths in prose", "ARCHITECTURE.md", "as `objstore/nothing.go` does"},
		{"example readmes", "examples/a/README.md", strings.Repeat("line\n", 40)},
		{"commands are run", "README.md", "```sh test\ngo test ./...\n```\n"},
	}
}

// TestEachRuleBites breaks each rule in each of its ways.
func TestEachRuleBites(t *testing.T) {
	tried := map[string]bool{}
	for _, b := range breaches() {
		t.Run(b.rule, func(t *testing.T) {
			tried[b.rule] = true
			h := enter(t, fstest.MapFS{b.path: {Data: []byte(b.content)}})
			if len(rules()[b.rule](h)) == 0 {
				t.Errorf("no complaint about %s:\n%s", b.path, b.content)
			}
		})
	}
	for name := range rules() {
		if !tried[name] {
			t.Errorf("no breach of the rule %q is tried", name)
		}
	}
}

// TestRulesLetGoodCodePass shows each rule what looks like a breach and is none.
func TestRulesLetGoodCodePass(t *testing.T) {
	good := fstest.MapFS{
		".gitignore": {Data: []byte("# worlds of caps and objstore\n/world\n*.test\n")},
		"world/a.go": {Data: []byte("not Go at all")},
		".ci/run":    {Data: []byte("go test ./...\n")},
		"README.md": {Data: []byte("[A](caps/a.go#L1) [B](https://example.org/x) `caps/*.go` ./caps/...\n" +
			"```sh test\ngo test ./...\n```\n```\n[no](link)\n```\n")},
		"objstore/a.go": {Data: []byte("// Package objstore keeps.\npackage objstore\n\nimport \"errors\"\n\n" +
			"// Outcomes.\nvar (\n\tErrFull = errors.New(\"full\")\n\t_ error = ErrFull\n)\n\nfunc f() { _ = 1; table := table; table[0] = 2 }\n\nvar table = [...]int{1}\n\n" +
			"// An Option is a choice.\ntype Option int\n\n// Error implements error.\nfunc (Option) Error() string { return \"\" }\n\n" +
			"type inner int\n\nfunc (inner) Error() string { return \"\" }\n")},
		"objstore/a_test.go": {Data: []byte("package objstore\n\nimport (\n\t\"testing\"\n\t\"testing/synctest\"\n\t\"time\"\n\n" +
			"\t_ \"" + modulePath + "/objstore/objstoretest\"\n)\n\n" +
			"func TestTime(t *testing.T) { synctest.Test(t, func(*testing.T) { time.Sleep(1) }) }\n")},
		"examples/peers/go.mod": {Data: []byte("module peers\n")},
		"examples/peers/a.go":   {Data: []byte("// Package peers compares.\npackage peers\n\nimport _ \"go.etcd.io/bbolt\"\n")},
		"caps/a.go":             {Data: []byte("// Package caps names.\npackage caps\n")},
	}
	for key := range allowedVars() {
		dir, name, _ := strings.Cut(key, ".")
		content := "// Package x has state.\npackage x\n\nvar " + name + " int\n"
		good[dir+"/"+name+".go"] = &fstest.MapFile{Data: []byte(content)}
	}
	for path := range edges() {
		content := "package x\n\nimport \"time\"\n\nfunc f() { _ = time.Now }\n"
		good[path] = &fstest.MapFile{Data: []byte(content)}
	}
	h := enter(t, good)
	for _, name := range sorted(rules()) {
		t.Run(name, func(t *testing.T) {
			for _, complaint := range rules()[name](h) {
				t.Error(complaint)
			}
		})
	}
}
