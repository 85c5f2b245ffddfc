// Package look reads a world's objects without their Go types: what stands in a directory,
// what a collection holds, what a method takes. It declares the descriptors it needs, as any
// consumer of an object may.
package look
