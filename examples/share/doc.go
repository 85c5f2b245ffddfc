// Package share keeps documents that several people work on, who trust each other with
// different things. There is no list of users: who holds a capability to a document can do
// with it what that allows, and hand on as much or less. A [Role] is a set of methods that
// somebody is usually given.
//
// Where things stand: document.go what a holder may ask, state.go the document itself,
// check.go what is refused, role.go the roles, keyfile.go how somebody's key gets into a
// file. demo tells a story of five people, web serves documents to browsers.
package share
