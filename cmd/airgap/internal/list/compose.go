package list

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/sirupsen/logrus"
)

// compose takes the images of all services of the chosen profiles, as docker
// compose itself would read the file: with its variables, .env, extends and
// include.
func (l *List) compose(file pieces, o Options) error {
	logrus.SetOutput(io.Discard) // variables that are not set; the names that come of it are refused
	project, err := loadProject(context.Background(), file, o)
	if err != nil {
		return err
	}
	for _, name := range project.ServiceNames() {
		s := project.Services[name]
		switch {
		case s.Image != "":
			l.add(s.Image)
			if s.Platform != "" {
				l.Bound = append(l.Bound, Bound{name, s.Image, s.Platform})
			}
		case s.Build != nil:
			l.Built = append(l.Built, Built{name, project.Name + "-" + name})
		}
		for _, v := range s.Volumes {
			if _, isService := project.Services[v.Source]; v.Type == types.VolumeTypeImage && !isService {
				l.add(v.Source)
			}
		}
	}
	return nil
}

func loadProject(ctx context.Context, file pieces, o Options) (*types.Project, error) {
	var paths []string
	if o.Path != "" {
		paths = []string{o.Path}
	}
	options, err := cli.NewProjectOptions(paths, cli.WithOsEnv, cli.WithEnvFiles(), cli.WithDotEnv, cli.WithDefaultProfiles(o.Profiles...),
		cli.WithoutEnvironmentResolution, cli.WithoutLabelsResolution, cli.WithResolvedPaths(true), cli.WithConsistency(false)) // which walks all ways from service to service
	if err != nil {
		return nil, err
	}
	if o.Path != "" {
		return options.LoadProject(ctx)
	}
	dir, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(file.reader())
	if err != nil {
		return nil, err
	}
	details := types.ConfigDetails{
		WorkingDir: dir, Environment: options.Environment,
		ConfigFiles: []types.ConfigFile{{Filename: filepath.Join(dir, "standard input"), Content: raw}},
	}
	profiles := o.Profiles
	if len(profiles) == 0 {
		profiles = strings.Split(options.Environment["COMPOSE_PROFILES"], ",")
	}
	return loader.LoadWithContext(ctx, details, func(lo *loader.Options) {
		lo.Profiles = profiles
		lo.SkipResolveEnvironment, lo.SkipResolveLabels, lo.SkipConsistencyCheck = true, true, true
		lo.SetProjectName(loader.NormalizeProjectName(filepath.Base(dir)), false)
	})
}
