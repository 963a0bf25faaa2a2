import Foundation

extension LocalProvider.Configuration {
    /// Why no run can be given a way to the internet on this machine; `nil` if it can. The files are looked at anew.
    var egressProblem: String? {
        if access(egress, X_OK) != 0 {
            return "\(egress) is not there. Install the Debian package libslirp-dev and build it: make runner"
        }
        if access("/dev/net/tun", F_OK) != 0 {
            return "There is no /dev/net/tun. Load the kernel's module: modprobe tun"
        }
        return nil
    }
}

extension LocalProvider {
    /// Why VMs cannot be made on this machine, each with what to do; empty if nothing stands in the way. Changes nothing.
    package static func diagnose(configuration: Configuration) async -> [String] {
        var problems: [String] = []
        if geteuid() != 0 {
            problems.append(
                "The local provider needs root (it makes user namespaces with ranges of ids, control groups and loop "
                    + "mounts), and this is user \(geteuid()). Run it as root.")
        }
        let programs = [
            (configuration.crun, "crun"), ("mkfs.ext4", "e2fsprogs"), ("e2fsck", "e2fsprogs"),
            ("resize2fs", "e2fsprogs"), ("debugfs", "e2fsprogs"), (configuration.sshd, "openssh-server"),
        ]
        for (program, package) in programs where findProgram(program) == nil {
            problems.append("\(program) is not installed. Install the Debian package \(package).")
        }
        if !configuration.sshd.hasPrefix("/usr/") {
            problems.append("\(configuration.sshd) is not below /usr, which is all a VM sees of this machine.")
        }
        if access(configuration.runner, X_OK) != 0 {
            problems.append("The runner \(configuration.runner) is not there. Build it: make runner")
        }
        if !Files.isDirectory(configuration.runtimes) {
            problems.append("The folder of runtimes \(configuration.runtimes) is not there.")
        }
        let isAllowed = Files.text(of: "/proc/sys/user/max_user_namespaces").map { !$0.hasPrefix("0") } ?? true
        if !Files.exists("/proc/self/ns/user") || !isAllowed {
            problems.append("User namespaces are not allowed here. Set: sysctl user.max_user_namespaces=10000")
        }
        problems += controlGroupProblems(configuration)
        return problems
    }

    /// Why runs in the VMs of this machine have no network, whoever may have it; `nil` if they can.
    package static func diagnoseEgress(configuration: Configuration) -> String? { configuration.egressProblem }

    private static func controlGroupProblems(_ configuration: Configuration) -> [String] {
        guard let hierarchy = ControlGroupHierarchy.detect() else {
            return [
                "There are no control groups for memory, cpu and pids. In a container, run it with --privileged and "
                    + "--cgroupns=host; elsewhere mount cgroup version 2 on /sys/fs/cgroup."
            ]
        }
        return hierarchy.roots.compactMap { root in
            let probe = "\(root)/\(configuration.controlGroup)-probe-\(getpid())"
            guard mkdir(probe, 0o755) == 0 else {
                return "Control groups cannot be made in \(root): \(String(cString: strerror(errno)))."
            }
            rmdir(probe)
            return nil
        }
    }

    private static func findProgram(_ name: String) -> String? {
        if name.contains("/") { return access(name, X_OK) == 0 ? name : nil }
        return (Launcher.environment["PATH"] ?? "").split(separator: ":").map { "\($0)/\(name)" }
            .first { access($0, X_OK) == 0 }
    }
}
