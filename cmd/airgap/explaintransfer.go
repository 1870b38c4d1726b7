package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"
	"syscall"

	"airgap/cmd/airgap/internal/ui"
	"airgap/transfer"
	"airgap/transfer/sftp"
)

// ofRoom knows what says that there is too little room.
func ofRoom(_ string, err error) (ui.Status, []string, bool) {
	var space *transfer.NoSpaceError
	var own *ownVolumesError
	switch {
	case errors.As(err, &own) && !own.known:
		return ui.NoSpace, []string{fmt.Sprintf("make %s of room there, or send to another folder; if they are only a copy of what is read, remove them first", ui.Size(own.full.Need-own.full.Free))}, true
	case errors.As(err, &space) && space.Err != nil:
		return ui.NoSpace, []string{"make room for it below your quota there, or send to another folder"}, true
	case errors.As(err, &space) && space.Free >= space.Need: // the system says so all the same
		return ui.NoSpace, []string{"make room there, for which fewer files may do as well, or send to another folder"}, true
	case errors.As(err, &space):
		return ui.NoSpace, []string{fmt.Sprintf("make %s of room there, or send to another folder", ui.Size(space.Need-max(0, space.Free)))}, true
	}
	return 0, nil, false
}

// ofTaken knows what says that a name is another file's.
func ofTaken(_ string, err error) (ui.Status, []string, bool) {
	var foreign *transfer.ForeignError
	var meanwhile *transfer.MeanwhileError
	var replaced *transfer.ReplacedError
	switch {
	case errors.As(err, &meanwhile) && meanwhile.Kept != "":
		return ui.Refused, []string{"move what is there now to another name, then run the same command again: what has arrived is not sent again"}, true
	case errors.As(err, &meanwhile):
		return ui.Refused, []string{"move what is there now to another name, then run the same command again"}, true
	case errors.As(err, &replaced):
		return ui.Transfer, []string{"if somebody needs what is there now, move it to another name; then run the same command again"}, true
	case errors.As(err, &foreign), errors.Is(err, transfer.ErrNotRegular):
		return ui.Refused, []string{"name another file or a folder; if nobody needs what is there, remove it first"}, true
	}
	return 0, nil, false
}

// ofTransfer knows the errors of hosts and media.
func ofTransfer(command string, err error) (ui.Status, []string, bool) {
	var key *transfer.HostKeyError
	var login *transfer.AuthError
	var config *sftp.ConfigError
	var medium *transfer.MediumError
	var busy *transfer.BusyError
	var gone *transfer.GoneError
	var changed *transfer.ChangedError
	var cut *transfer.InterruptedError
	var missing *sftp.FolderError
	var nobody *net.DNSError
	switch {
	case errors.As(err, &key):
		return ui.Refused, hostKeyHints(key), true
	case errors.As(err, &login):
		return ui.Transfer, []string{fmt.Sprintf("make this work first: ssh %s@%s; or give a password: --password-file FILE", login.User, login.Host)}, true
	case errors.As(err, &config):
		return ui.Transfer, []string{"use the ssh command itself: airgap send --ssh ssh"}, true
	case errors.As(err, &changed):
		return ui.Damaged, []string{fmt.Sprintf("airgap verify %s; if it is whole, remove the %s.sha256 beside it, which is another file's", changed.Name, changed.Name)}, true
	case errors.As(err, &missing) && missing.File != "":
		return ui.Failed, []string{"name a folder that is there"}, true
	case errors.As(err, &missing):
		return ui.Failed, []string{"make it: " + mkdirThere(missing), "or name a folder that is there"}, true
	case errors.As(err, &busy):
		return ui.Transfer, []string{"wait for its end, then run the same command again"}, true
	case errors.As(err, &gone):
		return ui.Transfer, []string{"see what removes files there, then run the same command again"}, true
	case command == "airgap send" && errors.Is(err, fs.ErrNotExist):
		return ui.Failed, []string{"make the folder there, or name another"}, true
	case errors.Is(err, syscall.ENAMETOOLONG):
		return ui.Failed, []string{"give the bundle a shorter name: while it is written it is called .NAME.12345678.partial, and few places take more than 255 letters"}, true
	case errors.Is(err, syscall.EROFS):
		return ui.Medium, []string{"it is mounted read-only: mount it for writing, take off its write protection, or name another folder"}, true
	case command == "airgap send" && errors.Is(err, fs.ErrPermission):
		return ui.Failed, []string{"name a folder that this user may write to"}, true
	case errors.As(err, &medium):
		return ui.Medium, []string{"use another medium or folder: this one does not keep what it is given"}, true
	case errors.As(err, &nobody) && nobody.IsNotFound:
		return ui.Transfer, []string{"check the host's name; what is sent is a bundle, and airgap pack makes it of images"}, true
	case errors.As(err, &cut) && cut.Partial == "":
		return ui.Transfer, []string{"check the host, its port and the way to it; then run the same command again"}, true
	case errors.As(err, &cut):
		return ui.Transfer, []string{"run the same command again: it goes on where it stopped"}, true
	}
	return 0, nil, false
}

// mkdirThere is the command that makes a folder at a host, for the shell here.
func mkdirThere(e *sftp.FolderError) string {
	to := e.Dest.Host
	if e.Dest.User != "" {
		to = e.Dest.User + "@" + to
	}
	if e.Dest.Port != "" {
		to = "-p " + e.Dest.Port + " " + to
	}
	dir := e.Dir
	if strings.HasPrefix(dir, "-") {
		dir = "./" + dir
	}
	there := sftp.Words("mkdir", "-p", dir)
	if strings.ContainsAny(there, `\'`) {
		there = "'" + strings.ReplaceAll(there, "'", `'\''`) + "'"
	}
	return "ssh " + to + " " + there
}

// transferState says what a transfer that broke off has left.
func transferState(err error) string {
	var cut *transfer.InterruptedError
	var meanwhile *transfer.MeanwhileError
	switch {
	case errors.As(err, &meanwhile) && meanwhile.Named:
		return "the file is there whole under its name, without its sums"
	case errors.As(err, &meanwhile) && meanwhile.Kept != "":
		return "what has been sent is whole, and is kept as partial file " + meanwhile.Kept
	case !errors.As(err, &cut):
		return ""
	case cut.Partial == "":
		return "nothing has been sent"
	}
	return "what has arrived is kept as partial file " + cut.Partial
}

// hostKeyHints say how to make sure of a host and then let airgap know.
func hostKeyHints(e *transfer.HostKeyError) []string {
	file := "~/.ssh/known_hosts"
	if len(e.Files) > 0 {
		file = e.Files[0]
	}
	switch e.Kind {
	case transfer.UnknownHost:
		host, port := hostPort(e.Host)
		return []string{fmt.Sprintf("compare the fingerprint with the host's own (there: ssh-keygen -lf /etc/ssh/ssh_host_%s_key.pub), then: ssh-keyscan -t %s -p %s %s >> %s",
			keyFile(e.KeyType), keyFile(e.KeyType), port, host, file)}
	case transfer.ChangedKey:
		return []string{fmt.Sprintf("somebody may be in the way; only if you know why it has changed: ssh-keygen -R '%s' -f %s", e.Host, file)}
	}
	return []string{"ask who revoked it; nothing can be sent to a host with this key"}
}

// hostPort takes a name of known_hosts apart: host or [host]:port.
func hostPort(known string) (host, port string) {
	if host, port, err := net.SplitHostPort(known); err == nil {
		return host, port
	}
	return strings.Trim(known, "[]"), "22"
}

// keyFile is what OpenSSH calls a type of key.
func keyFile(keyType string) string {
	short, _, _ := strings.Cut(strings.TrimPrefix(keyType, "ssh-"), "-")
	return short
}
