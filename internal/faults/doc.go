// Package faults makes things go wrong while bundles travel, and looks at what
// comes of it: whatever happens, the final name never has anything but the whole
// file, what went wrong is told with the right exit status, and the same command
// succeeds afterwards. Most tests run the built command, as root in a mount
// namespace of their own, on real file systems, a real sshd and under strace.
//
// Each test has a short form, for every run of go test, and a long one with
// AIRGAP_FAULTS=1, as make faults has it. What a machine lacks is skipped and
// told, or fails where AIRGAP_REQUIRE names it: strace, loop (ext4 on loop
// devices), fuse, btrfs, sshd, netns.
//
//	F2   killed at a system call                TestKilled, TestKilledOverSSH
//	F3   a system call fails                    TestCallsFail, TestCallsForLockFail
//	F4   power cut                              TestPowerFailsAfterwards, TestPowerFailsMeanwhile
//	F5   the medium cannot be read              TestReadErrors
//	F6   bits flip on the medium                TestBitFlips
//	F7   the medium does not store              TestCounterfeit, TestForgery
//	F8   full disk                              TestFullDisk
//	F9   4 GiB limit                            TestSizeLimit, TestFourGiB, TestStick
//	F12  removed meanwhile                      TestPowerFailsMeanwhile, TestUnmounted, TestStickPulled
//	F13  both names after a cut                 TestBothNames
//	F14  the page cache hides errors            TestForgery, TestCounterfeit
//	F15  reset at a byte                        TestCuts, TestAskedAgain; transfer/sftp: TestSendsOn, TestCutAnywhere
//	F16  stall                                  TestCuts; transfer/sftp: TestStall
//	F17  delay                                  transfer/sftp, by transfertest.Far
//	F18  little bandwidth, F19 loss             TestBadNetwork
//	F20  the server or the client is killed     TestCuts
//	F21  weird, poor and chrooted servers       transfer/sftp: TestWeirdServers, TestPoorServers, TestReadOnlyServer, TestChroot, TestNoExclusion, TestNoModes, TestOneSession, TestSmallPackets; TestQuota
//	F22  slow and closed pipes                  TestSlowReader, TestSlowWriter, TestClosedPipe
//	F29  damage and parity                      TestParity; transfer/volume and its parity
package faults
