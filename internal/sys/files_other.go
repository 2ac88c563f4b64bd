//go:build !linux

package sys

func openDir(string) (int, error) { return -1, unsupported("open of a directory of memory files") }

func createAt(int, string) (int, error) { return -1, unsupported("openat") }

func openAt(int, string, bool) (int, error) { return -1, unsupported("openat") }

func statAt(int, string) (Stat, error) { return Stat{}, unsupported("fstatat") }

func renameAt(int, string, string) error { return unsupported("renameat2") }

func linkAt(int, string, string) error { return unsupported("linkat") }

func unlinkAt(int, string) error { return unsupported("unlinkat") }

func fchmod(int, uint32) error { return unsupported("fchmod") }

func lockByte(int, bool, int64) error { return unsupported("fcntl(F_OFD_SETLK)") }

func pread(int, []byte, int64) (int, error) { return 0, unsupported("pread") }
