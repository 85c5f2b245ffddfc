// Package gitgraph keeps the history of a git repository as a graph of objects: one for each
// commit, author and file, linked by capabilities. Queries are Go code that walks them.
//
//	commit -> its parents, its author, the files that it touched with lines added and removed
//	author -> the commits written
//	file   -> the commits that touched it
//
// What is decided, where git leaves a choice:
//
//   - Every commit that a ref or HEAD reaches is imported, once. Commits that no ref reaches
//     any more, after a forced push, stay.
//   - A merge links its parents and touches no file: what it brings in is counted at the
//     commits that it merges.
//   - A file is a path. A rename is a removal at one path and an addition at another.
//   - An author is a name and an e-mail address as the commit has them, without .mailmap.
//   - Lines are -1 where git counts none: in binary files, and where the repository lacks a
//     blob, as a partial clone does.
//   - Paths, names and messages are kept byte for byte, UTF-8 or not. Of a message the first
//     32 KiB are kept. Paths of more than 2 KiB are found by their beginning and a digest.
//   - The boundary of a shallow clone counts as a root. Fetching what lies below it later is
//     an error: the graph grows at its young end only.
//   - Replaced objects (git replace) are read as they were.
package gitgraph
