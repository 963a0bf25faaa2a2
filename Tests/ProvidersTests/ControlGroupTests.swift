import Foundation
import TestSupport
import Testing

@testable import Providers

@Suite struct ControlGroupTests {
    @Test func versionOneIsFoundWithItsCoMountedControllers() {
        let table = """
            proc /proc proc rw 0 0
            cgroup2 /sys/fs/cgroup/unified cgroup2 rw,nsdelegate 0 0
            cgroup /sys/fs/cgroup/memory cgroup rw,nosuid,memory 0 0
            cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0
            cgroup /sys/fs/cgroup/pids cgroup rw,pids 0 0
            """
        let found = ControlGroupHierarchy.detect(mountTable: table)
        guard case .separate(let mounts, let unified)? = found else {
            Issue.record("not version 1")
            return
        }
        #expect(mounts["cpuacct"] == "/sys/fs/cgroup/cpu,cpuacct")
        #expect(unified == "/sys/fs/cgroup/unified")
        #expect(found?.roots.count == 3)
        let group = ControlGroup(hierarchy: .separate(mounts: mounts, unified: unified), path: "/martlet/s/vm")
        #expect(group.runnerConfiguration["cpuacct"] == "/sys/fs/cgroup/cpu,cpuacct/runs")
        #expect(group.runnerConfiguration["cpu"] == nil)
    }

    @Test(arguments: [("cpuset cpu io memory hugetlb pids\n", true), ("cpu io pids\n", false), ("\n", false)])
    func versionTwoNeedsTheControllers(controllers: String, isComplete: Bool) async throws {
        try await withTemporaryDirectory { root in
            try Files.write(controllers, to: root + "/cgroup.controllers")
            let found = ControlGroupHierarchy.detect(mountTable: "cgroup2 \(root) cgroup2 rw 0 0\n")
            #expect(found?.roots == (isComplete ? [root] : nil))
        }
    }

    @Test func processesAreToldByTheirGroup() throws {
        let here = try #require(ControlGroupHierarchy.detect())
        let other = ControlGroup(hierarchy: here, path: "/martlet/none/vm")
        #expect(!other.holds(getpid()))
        #expect(other.members().isEmpty)
    }

    /// The group becomes the root of the namespace, which is made between the two.
    @Test func versionTwoIsJoinedBeforeItsNamespaceAndDividedAfter() {
        let group = ControlGroup(hierarchy: .unified(mount: "/g"), path: "/martlet/s/vm")
        #expect(group.joining.before.map(\.words) == [["write", "0", "/g/martlet/s/vm/cgroup.procs"]])
        #expect(
            group.joining.after.map(\.words) == [
                ["write", "0", "/g/martlet/s/vm/init/cgroup.procs"],
                ["write", "+memory +cpu +pids", "/g/martlet/s/vm/cgroup.subtree_control"],
            ])
    }
}
