package policy_test

import (
	"fmt"
	"go/ast"
	"regexp"
	"slices"
	"strings"
)

func packagesExplained(h *house) (found []string) {
	for dir, files := range h.packages() {
		explained := slices.ContainsFunc(files, func(f source) bool { return f.ast.Doc != nil })
		if !explained {
			found = append(found, dir+": no file has a package comment")
		}
	}
	slices.Sort(found)
	return found
}

func exportsExplained(h *house) (found []string) {
	for _, file := range h.shipped() {
		for _, d := range file.ast.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Doc == nil && d.Name.IsExported() && receiverExported(d) {
					found = append(found, h.at(d, "%s has no doc comment", d.Name.Name))
				}
			case *ast.GenDecl:
				found = append(found, h.unexplainedSpecs(d, isPublic(file.dir))...)
			}
		}
	}
	return found
}

// receiverExported reports whether f is a function or a method of an exported type.
func receiverExported(f *ast.FuncDecl) bool {
	if f.Recv == nil || len(f.Recv.List) == 0 {
		return true
	}
	t := f.Recv.List[0].Type
	if index, ok := t.(*ast.IndexListExpr); ok {
		t = index.X
	}
	id := rootOf(t)
	return id != nil && id.IsExported()
}

// isPublic reports whether users of the module can import the package in dir.
func isPublic(dir string) bool {
	f, ok := floorOf(dir)
	return ok && f.number > 1 && f.number < 4
}

// unexplainedSpecs finds constants, variables and types without a comment and, if asked, fields and methods of types. A
// comment on a group explains its constants and variables, one on a line what the line declares.
func (h *house) unexplainedSpecs(d *ast.GenDecl, fields bool) (found []string) {
	for _, spec := range d.Specs {
		switch spec := spec.(type) {
		case *ast.ValueSpec:
			if d.Doc != nil || spec.Doc != nil || spec.Comment != nil {
				continue
			}
			for _, name := range spec.Names {
				if name.IsExported() {
					found = append(found, h.at(name, "%s has no doc comment", name.Name))
				}
			}
		case *ast.TypeSpec:
			if !spec.Name.IsExported() {
				continue
			}
			if d.Doc == nil && spec.Doc == nil && spec.Comment == nil {
				found = append(found, h.at(spec, "%s has no doc comment", spec.Name.Name))
			}
			if fields {
				found = append(found, h.unexplainedFields(spec)...)
			}
		}
	}
	return found
}

// unexplainedFields takes a comment before a run of fields without empty lines between them as explaining them all.
func (h *house) unexplainedFields(spec *ast.TypeSpec) (found []string) {
	var list *ast.FieldList
	switch t := spec.Type.(type) {
	case *ast.StructType:
		list = t.Fields
	case *ast.InterfaceType:
		list = t.Methods
	default:
		return nil
	}
	explained, last := false, 0
	for _, field := range list.List {
		line := h.fset.Position(field.Pos()).Line
		run := explained && line == last+1
		last = h.fset.Position(field.End()).Line
		explained = field.Doc != nil || field.Comment != nil || run
		for _, name := range field.Names {
			if name.IsExported() && !explained {
				found = append(found, h.at(field, "%s.%s has no comment", spec.Name.Name, name.Name))
			}
		}
	}
	return found
}

func noLeftovers(h *house) (found []string) {
	// Spelled so that this file does not break its own rule.
	leftover := regexp.MustCompile(`\b(T` + `ODO|F` + `IXME|X` + `XX|H` + `ACK)\b`)
	for path, text := range h.texts {
		for i, line := range strings.Split(text, "\n") {
			if word := leftover.FindString(line); word != "" {
				found = append(found, fmt.Sprintf("%s:%d: %s", path, i+1, word))
			}
		}
	}
	slices.Sort(found)
	return found
}

// maxReadmeLines is one page for a patient reader.
const maxReadmeLines = 150

// quickStart is what the README's first block under "## Quick start" consists of. .ci/run executes both lines.
const quickStart = "go run ./examples/loadbalancer\ngo test ./...\n"

func readmeIsShort(h *house) (found []string) {
	const file = "README.md"
	text, ok := h.texts[file]
	if !ok {
		return []string{file + ": does not exist"}
	}
	if n := strings.Count(text, "\n"); n > maxReadmeLines {
		found = append(found, fmt.Sprintf("%s: %d lines, want at most %d", file, n, maxReadmeLines))
	}
	_, section, ok := strings.Cut("\n"+text, "\n## Quick start\n")
	if !ok {
		return append(found, file+`: no section "## Quick start"`)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	_, block, _ := strings.Cut("\n"+section, "\n```")
	_, block, _ = strings.Cut(block, "\n") // the rest of the opening line names the language
	block, _, closed := strings.Cut(block, "```")
	if !closed || block != quickStart {
		found = append(found, fmt.Sprintf("%s: the first fenced block of Quick start is %q, want %q", file, block, quickStart))
	}
	return found
}
