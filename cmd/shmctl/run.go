package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"github.com/shmwire/shmwire/internal/sys"
	"github.com/spf13/cobra"
)

// Exit statuses. 3 (unhealthy) and 5 (timed out) are for commands that judge and wait.
const (
	statusOK          = 0
	statusUsage       = 1
	statusNotFound    = 2 // or not permitted, or nothing to look at on this system
	statusCorrupt     = 4
	statusInterrupted = 130
)

// failure is an error of a command that was called correctly.
type failure struct {
	status int
	err    error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// run is the whole program but for the signals: it returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRootCommand()
	root.SetArgs(append([]string{}, args...)) // never nil, which would mean the process's own
	root.SetOut(stdout)
	root.SetErr(stderr)
	return finish(root.ExecuteContext(ctx), stderr)
}

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "shmctl",
		Short:         "Look into shared memory rings",
		Long:          "shmctl looks into the shared memory rings of live and dead processes. It never writes to them.",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(newLsCommand(), newInfoCommand(), newVersionCommand())
	return root
}

// finish says what went wrong and returns the exit status for it. Errors that no command made are cobra's, about usage.
func finish(err error, stderr io.Writer) int {
	var f *failure
	switch {
	case err == nil, errors.Is(err, sys.EPIPE), errors.Is(err, io.ErrClosedPipe):
		return statusOK // nobody reads any more, and that is their right
	case errors.Is(err, context.Canceled):
		return statusInterrupted
	case errors.As(err, &f):
		say(stderr, "%v", err)
		return f.status
	}
	say(stderr, "%v\nTry 'shmctl --help'.", err)
	return statusUsage
}

// say writes a line to people. If nobody hears it there is nobody to tell.
func say(stderr io.Writer, format string, args ...any) {
	fmt.Fprintf(stderr, "shmctl: "+format+"\n", args...)
}

// missing is the failure to find or to be let in.
func missing(err error) error { return &failure{statusNotFound, err} }

// options are the flags of the commands that look.
type options struct {
	output   string
	noHeader bool
	dir      string
}

func (o *options) addTo(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&o.output, "output", "o", "table", "how to print: table or json")
	cmd.Flags().BoolVar(&o.noHeader, "no-header", false, "leave out the titles of the table")
	cmd.Flags().StringVar(&o.dir, "dir", "/dev/shm", "where named segments are")
	// The names are constant and the flags exist, so nothing can fail.
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "json"}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.MarkFlagDirname("dir")
}

func (o *options) check() error {
	if !slices.Contains([]string{"table", "json"}, o.output) {
		return fmt.Errorf("flag --output is %q, want table or json", o.output)
	}
	return nil
}

// print writes what a command has to say in one go, so that an error half-way leaves no half output behind.
func (o *options) print(cmd *cobra.Command, table func(*bytes.Buffer), document any) error {
	var out bytes.Buffer
	if o.output == "json" {
		if err := writeJSON(&out, document); err != nil {
			return missing(err)
		}
	} else {
		table(&out)
	}
	if _, err := cmd.OutOrStdout().Write(out.Bytes()); err != nil {
		return missing(fmt.Errorf("write output: %w", err))
	}
	return nil
}

// talk says on standard error what the output leaves out.
func talk(cmd *cobra.Command, s *survey) {
	for _, note := range s.notes {
		say(cmd.ErrOrStderr(), "%s", note)
	}
}

// lookAround is survey.look with the errors of a command.
func lookAround(cmd *cobra.Command, o *options) (*survey, error) {
	s, err := look(cmd.Context(), o.dir)
	switch {
	case err == nil, errors.Is(err, context.Canceled):
		return s, err
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		return nil, missing(err)
	}
	return nil, missing(fmt.Errorf("look around: %w", err))
}
