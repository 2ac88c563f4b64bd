// Package shmwire carries messages and byte streams between processes on one host through shared memory.
package shmwire
