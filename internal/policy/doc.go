// Package policy holds the house: its tests check who may import whom, what an importer of the module compiles, and
// habits that no compiler checks. It has no code of its own.
//
// The rules stand in one table with their reasons (rules_test.go). They look at every Go file of the module, whatever
// its build constraints, so one run on one system speaks for all systems; what an importer compiles is asked of go list
// for several.
//
// Do not relax a rule to fix a build. A rule that stands in the way of something better is changed by itself, with the
// new reason, in a change that does nothing else.
package policy
