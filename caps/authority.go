package caps

import "strings"

// all is every right there is.
const all = Read | Write | Run

// Full is the authority of who made the object.
func Full() Authority { return Authority{Rights: all} }

// Attenuate returns a with no more than the given rights. What is left with neither Write
// nor Run becomes deep, unless Shallow is among them.
func (a Authority) Attenuate(to Rights) Authority {
	a.Rights &= to & all
	if a.Rights&(Write|Run) == 0 && to&Shallow == 0 {
		a.Deep = true
	}
	return a
}

// Through returns what is left of a when the Ref that carries it was obtained through a Ref
// with authority via. This is the only place where authorities are combined.
func (a Authority) Through(via Authority) Authority {
	if !via.Deep {
		return a
	}
	return Authority{Rights: a.Rights & Read, Deep: true}
}

// Allows reports whether a includes all of need.
func (a Authority) Allows(need Rights) bool { return a.Rights&need == need }

// String is the rights as people read them: "rwx", "r, deep", "none".
func (a Authority) String() string {
	if a.Deep {
		return a.Rights.String() + ", deep"
	}
	return a.Rights.String()
}

// String is the set as letters, "rw", or "none"; Shallow is not shown.
func (r Rights) String() string {
	var b strings.Builder
	for i, c := range "rwx" {
		if r&(1<<i) != 0 {
			b.WriteRune(c)
		}
	}
	if b.Len() == 0 {
		return "none"
	}
	return b.String()
}
