import Foundation

/// What a process needs before it opens anything.
package enum ProcessSetup {
    /// Makes standard input, output and error exist, so that no socket is ever mistaken for them, and lets a write to a
    /// closed pipe fail instead of ending the process.
    package static func secureStandardStreams() {
        for descriptor in Int32(0)...2 where fcntl(descriptor, F_GETFD) < 0 {
            _ = open("/dev/null", O_RDWR)  // the lowest free number, which is this one
        }
        signal(SIGPIPE, SIG_IGN)
    }

    /// Before this process becomes another program: what is ignored would stay so.
    package static func restoreSignals() { signal(SIGPIPE, SIG_DFL) }

    /// Lets a server have as many descriptors as it may, at most 65 536: each open stream is one, and the usual 1024
    /// are for programs that still call `select`.
    package static func raiseDescriptorLimit() {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
        let wanted = min(limit.rlim_max, 65_536)
        guard limit.rlim_cur < wanted else { return }
        limit.rlim_cur = wanted
        setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }
}
