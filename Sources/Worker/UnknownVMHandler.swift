import Fleet
import JobQueue
import Logging
import Providers

/// Destroys a VM that no environment knows, on an admin's word (``Fleet/UnknownVMStore``). Safe to run twice.
struct UnknownVMHandler: Sendable {
    let fleet: Fleet
    let providers: ProviderSet
    let name: String  // the worker's, for the audit log
    let absence: Absence
    let logger: Logger

    /// Throws to have it tried again; how it ended is a line in the audit log.
    func handle(_ job: Job, _ context: JobContext) async throws -> String {
        let order: UnknownVMJob
        do {
            order = try UnknownVMJob(json: job.data)
        } catch {
            throw UnrecoverableJobError(reason: String(describing: error))
        }
        guard let provider = ProviderKind(rawValue: order.provider).flatMap(providers.find) else {
            _ = try await absence.waitElsewhere(forProvider: order.provider, since: job.timestamp)
            try await record(order, code: ProviderError.Code.unavailable.rawValue)
            throw UnrecoverableJobError(reason: "There is no worker with the provider '\(order.provider)'.")
        }
        let owner = try await fleet.unknownVMs.owner(
            ofVM: order.externalID, name: order.vmName, provider: order.provider)
        if let owner {
            try await fleet.unknownVMs.forget(provider: order.provider, id: order.externalID)
            try await record(order, owner: owner, code: ServiceError.Code.vmKnown.rawValue)
            throw UnrecoverableJobError(reason: "Not destroyed: it is the VM of environment \(owner.slug).")
        }
        let began = ContinuousClock.now
        do {
            try await provider.destroy(VMInstance.ID(rawValue: order.externalID))
        } catch let error as ProviderError {
            let isFinal = context.isLastAttempt || !error.isRetryable
            logger.error(
                "unknown VM not destroyed",
                metadata: ["vm": "\(order.vmName)", "final": "\(isFinal)", "error": "\(error)"])
            guard isFinal else { throw error }
            try await record(order, code: error.code.rawValue)
            throw UnrecoverableJobError(reason: "\(error.message) \(error.hint)")
        }
        try await record(order, duration: .now - began)
        // Last: as long as it is listed, it can be asked for again.
        try await fleet.unknownVMs.forget(provider: order.provider, id: order.externalID)
        return "destroyed"
    }

    private func record(
        _ order: UnknownVMJob, owner: Environment? = nil, code: String? = nil, duration: Duration? = nil
    ) async throws {
        try await fleet.audit.record(
            "unknown_vm.destroyed", actor: .worker(name), environment: owner?.id, user: owner?.userID,
            requestID: order.requestID, errorCode: code, duration: duration,
            detail: ["provider": order.provider, "vm": order.externalID, "name": order.vmName])
    }
}
