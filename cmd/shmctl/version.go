package main

import (
	"bytes"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func newVersionCommand() *cobra.Command {
	o := &options{output: "table"}
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return err
			}
			v := ownVersion()
			return o.print(cmd, func(out *bytes.Buffer) { fmt.Fprintf(out, "shmctl %s %s %s\n", v.Version, v.Go, v.Platform) }, v)
		},
	}
	cmd.Flags().StringVarP(&o.output, "output", "o", "table", "how to print: table or json")
	return cmd
}

type versionDocument struct {
	Schema   string `json:"schema"`
	Version  string `json:"version"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func ownVersion() versionDocument {
	v := versionDocument{
		Schema: schema, Version: "(devel)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	return v
}
