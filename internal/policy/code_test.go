package policy_test

import (
	"go/ast"
	"go/token"
	"slices"
	"strings"
)

// ringStrangers are packages that open, start or wait for something. (os is there for its errors alone.)
func ringStrangers() []string {
	return []string{"os/exec", "os/signal", "net", "syscall", "io/fs", "path/filepath", modulePath + "/internal/sys"}
}

func ringIsQuiet(h *house) (found []string) {
	for _, file := range h.shipped() {
		if file.dir != "ring" {
			continue
		}
		ast.Inspect(file.ast, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				found = append(found, h.at(n, "the ring starts a goroutine"))
			case *ast.ImportSpec:
				if slices.Contains(ringStrangers(), importPath(n)) {
					found = append(found, h.at(n, "the ring imports %s", importPath(n)))
				}
			case *ast.SelectorExpr:
				if packageOf(n) == "os" && !strings.HasPrefix(n.Sel.Name, "Err") {
					found = append(found, h.at(n, "the ring uses %s", selectorName(n)))
				}
			}
			return true
		})
	}
	return found
}

func libraryIsSilent(h *house) (found []string) {
	for _, file := range h.shipped() {
		if f, ok := floorOf(file.dir); !ok || f.number < 1 || f.number > 3 {
			continue
		}
		ast.Inspect(file.ast, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ImportSpec:
				if under(importPath(n), "log") {
					found = append(found, h.at(n, "imports %s", importPath(n)))
				}
			case *ast.CallExpr:
				if f := calledName(n); f == "print" || f == "println" || strings.HasPrefix(f, "fmt.Print") {
					found = append(found, h.at(n, "calls %s", f))
				}
			case *ast.SelectorExpr:
				if s := selectorName(n); s == "os.Stdout" || s == "os.Stderr" {
					found = append(found, h.at(n, "uses %s", s))
				}
			}
			return true
		})
	}
	return found
}

func testsDoNotSleep(h *house) (found []string) {
	for _, file := range h.files {
		if !file.test {
			continue
		}
		ast.Inspect(file.ast, func(n ast.Node) bool {
			if n, ok := n.(*ast.SelectorExpr); ok && selectorName(n) == "time.Sleep" {
				found = append(found, h.at(n, "sleeps: use a channel, or shmtest.Eventually"))
			}
			return true
		})
	}
	return found
}

func noInit(h *house) (found []string) {
	for _, file := range h.shipped() {
		for _, d := range file.ast.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				found = append(found, h.at(f, "init function"))
			}
		}
	}
	return found
}

// noPackageState allows three kinds of package-level variables: compile-time assertions (named _), errors, and tables:
// literals, moments, and values computed once, that no file of the package, tests included, ever assigns to or takes the
// address of. Files that nobody ships are left out: the race detector needs an address to hang an order on, and under
// the tag shmsteps a shared word, which is nothing but an address, must find out whose schedule it belongs to.
func noPackageState(h *house) (found []string) {
	written := writtenNames(h)
	for _, file := range h.shipped() {
		if neverShipped(file.ast) {
			continue
		}
		eachVar(file.ast, func(name *ast.Ident, value ast.Expr) {
			switch {
			case name.Name == "_":
			case written[file.dir+"."+name.Name]:
				found = append(found, h.at(name, "package-level variable %s is written", name.Name))
			case isErrorName(name.Name) && value != nil:
			case !isTable(value):
				found = append(found, h.at(name, "package-level variable %s is neither an error nor a table", name.Name))
			}
		})
	}
	return found
}

func neverShipped(f *ast.File) bool {
	for _, group := range f.Comments {
		for _, c := range group.List {
			if c.Pos() < f.Package && (c.Text == "//go:build race" || c.Text == "//go:build shmsteps") {
				return true
			}
		}
	}
	return false
}

func eachVar(f *ast.File, visit func(name *ast.Ident, value ast.Expr)) {
	for _, d := range f.Decls {
		gen, ok := d.(*ast.GenDecl)
		if !ok || gen.Tok != token.VAR {
			continue
		}
		for _, spec := range gen.Specs {
			spec := spec.(*ast.ValueSpec)
			for i, name := range spec.Names {
				var value ast.Expr
				if i < len(spec.Values) {
					value = spec.Values[i]
				}
				visit(name, value)
			}
		}
	}
}

func isErrorName(name string) bool {
	rest, ok := strings.CutPrefix(strings.ToLower(name[:1])+name[1:], "err")
	return ok && rest != "" && rest[:1] == strings.ToUpper(rest[:1])
}

// isTable reports whether value is a literal of other values: neither a pointer nor a lock, atomic, pool or the like.
// What is a constant in all but the language is one too: a converted string, a fixed moment, and a fact of the process
// or the machine that is learned once.
func isTable(value ast.Expr) bool {
	switch v := value.(type) {
	case *ast.CompositeLit:
		s, ok := v.Type.(*ast.SelectorExpr)
		return !ok || !slices.Contains([]string{"sync", "atomic"}, packageOf(s))
	case *ast.CallExpr:
		_, ok := v.Fun.(*ast.ArrayType) // []byte("...")
		return ok || slices.Contains([]string{"time.Unix", "time.Date", "sync.OnceValue", "sync.OnceValues"}, calledName(v))
	}
	return false
}

// writtenNames returns "dir.name" for everything that is assigned to, whole or in part, or has its address taken. It
// knows no scopes: a local variable named like a table counts as the table, and should be renamed anyway.
func writtenNames(h *house) map[string]bool {
	names := map[string]bool{}
	for _, file := range h.files {
		write := func(e ast.Expr) {
			if id := rootOf(e); id != nil {
				names[file.dir+"."+id.Name] = true
			}
		}
		ast.Inspect(file.ast, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.AssignStmt:
				if n.Tok != token.DEFINE {
					for _, e := range n.Lhs {
						write(e)
					}
				}
			case *ast.IncDecStmt:
				write(n.X)
			case *ast.RangeStmt:
				if n.Tok == token.ASSIGN {
					write(n.Key)
					write(n.Value)
				}
			case *ast.UnaryExpr:
				if n.Op == token.AND {
					write(n.X)
				}
			case *ast.CallExpr:
				if f := calledName(n); (f == "delete" || f == "clear" || f == "copy") && len(n.Args) > 0 {
					write(n.Args[0])
				}
			}
			return true
		})
	}
	return names
}

// rootOf returns x of x, x[i], x.f, x[i:j], *x and so on.
func rootOf(e ast.Expr) *ast.Ident {
	for {
		switch v := e.(type) {
		case *ast.Ident:
			return v
		case *ast.IndexExpr:
			e = v.X
		case *ast.SliceExpr:
			e = v.X
		case *ast.SelectorExpr:
			e = v.X
		case *ast.StarExpr:
			e = v.X
		case *ast.ParenExpr:
			e = v.X
		default:
			return nil
		}
	}
}

func calledName(c *ast.CallExpr) string {
	switch f := c.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return selectorName(f)
	}
	return ""
}

func selectorName(s *ast.SelectorExpr) string { return packageOf(s) + "." + s.Sel.Name }

func packageOf(s *ast.SelectorExpr) string {
	if id, ok := s.X.(*ast.Ident); ok {
		return id.Name
	}
	return ""
}
