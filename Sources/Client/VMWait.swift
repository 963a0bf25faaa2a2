import EventLoop

extension APIClient {
    /// Waits until the VM shows one of `states`, telling `log` meanwhile what the server's log of it says. Returns the
    /// VM, nil if there is none any more. Throws `vm_failed` if it ends in state `error`.
    package func waitForVM(
        in states: Set<String>, within limit: Duration = .seconds(180),
        log: @escaping @Sendable (VMLogLine) async -> Void
    ) async throws -> VMDescription? {
        try await withDeadline(limit, "VM in state \(states.sorted().joined(separator: " or "))") {
            try await withThrowingTaskGroup(of: VMDescription??.self) { group in
                group.addTask {
                    // The log is for the eye only: that it cannot be followed is no reason to stop waiting.
                    try? await followLog { line in
                        await log(line)
                        return true
                    }
                    return Optional<VMDescription?>.none
                }
                group.addTask {
                    while true {
                        let vm = try await self.vm()
                        let state = vm?.state ?? vm?.status ?? "destroyed"
                        if states.contains(state) { return .some(vm) }
                        if state == "error" {
                            throw ClientError(
                                .failed, code: "vm_failed", message: vm?.errorMessage ?? "The VM failed.",
                                hint: "See 'martlet vm logs', then 'martlet vm start' or 'martlet vm destroy'.")
                        }
                        try await Task.sleep(for: .milliseconds(200))  // between two questions
                    }
                }
                defer { group.cancelAll() }
                while let result = try await group.next() {
                    if let vm = result { return vm }
                }
                return nil
            }
        }
    }
}
