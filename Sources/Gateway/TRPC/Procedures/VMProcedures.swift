import Fleet
import Foundation

/// `vm.*`: the caller's own VM, and everybody's for admins.
struct VMProcedures: Sendable {
    let operations: GatewayOperations

    private struct Done: Encodable { let success = true }

    /// Most VMs in one answer to `vm.getAllVms`.
    static let listed = 2_000

    var all: [Procedure] {
        [
            .query("vm.getMyVm") { call in try await operations.trpc.vm(call.caller) },
            .query("vm.getProvisionLogs") { call in try await operations.provisionLog(call.caller) },
            .query("vm.listFlavors") { call in try await operations.catalog().offered(to: call.caller.tier).flavors },
            .query("vm.listRegions") { _ in try await operations.catalog().regions },
            .query("vm.getAllVms", for: .admin, taking: FleetCursor.self) { _, cursor in
                try await fleet(after: cursor.id)
            },
            .mutation("vm.provisionMyVm", taking: VMSize.self) { call, size in
                if let vm = try await operations.trpc.vm(call.caller) { return vm }
                try size.check(for: call.caller.tier)
                _ = try await operations.createVM(call.caller, VMChoice(), call.requestID, nil)
                return try await own(call)
            },
            .mutation("vm.startMyVm") { call in
                _ = try await own(call)  // one is made by 'provisionMyVm' only
                _ = try await operations.startVM(call.caller, call.requestID)
                return try await own(call)
            },
            .mutation("vm.stopMyVm") { call in
                _ = try await operations.stopVM(call.caller, call.requestID)
                return try await own(call)
            },
            .mutation("vm.destroyMyVm") { call in
                _ = try await operations.destroyVM(call.caller, call.requestID)
                return Done()
            },
            .mutation("vm.destroyVm", for: .admin, taking: VMReference.self) { call, vm in
                try await operations.trpc.destroy(try vm.id(), call.caller, call.requestID)
                return Done()
            },
        ]
    }

    private func own(_ call: ProcedureCall) async throws -> DashboardVM {
        guard let vm = try await operations.trpc.vm(call.caller) else {
            throw ServiceError(.environmentNotFound, "You have no VM.", hint: "Make one with 'vm.provisionMyVm'.")
        }
        return vm
    }

    /// All VMs are counted, a page after another; listed are at most ``listed``, from `after` on.
    private func fleet(after: EnvironmentID?) async throws -> FleetView {
        var fleet = FleetView()
        var last: EnvironmentID?
        while true {
            let page = try await operations.trpc.page(last)
            for vm in page {
                fleet.stats.count(vm)
                guard after.map({ $0.description < vm.id.description }) ?? true else { continue }
                if fleet.vms.count < Self.listed { fleet.vms.append(vm) } else { fleet.isCut = true }
            }
            guard let end = page.last?.id else { return fleet }
            last = end
        }
    }
}

// MARK: Inputs

/// The size of a VM. Tiers have sizes, so what is asked for must fit the caller's, and the VM is as large as that.
struct VMSize: ProcedureInput {
    private var vcpus: Int?
    private var memoryMb: Int?

    init(_ json: [UInt8]?) throws(ServiceError) {
        var (vcpus, memoryMb): (Int?, Int?) = (nil, nil)
        try JSONReader.fields(of: json) { (reader: inout JSONReader, name: String) throws(ServiceError) in
            switch name {
            case "vcpus": vcpus = try Self.number(&reader, in: 1...16)
            case "memoryMb": memoryMb = try Self.number(&reader, in: 1_024...1_048_576)
            case "diskGb": _ = try Self.number(&reader, in: 10...500)
            default: try reader.any()
            }
        }
        (self.vcpus, self.memoryMb) = (vcpus, memoryMb)
    }

    private static func number(_ reader: inout JSONReader, in range: ClosedRange<Int>) throws(ServiceError) -> Int? {
        if try reader.null() { return nil }
        let value = try reader.integer()
        guard range.contains(value) else {
            throw reader.invalid(
                "is \(value); it must be from \(range.lowerBound) to \(range.upperBound)", hint: "Leave it out.")
        }
        return value
    }

    /// Throws `quota_exceeded` for more than the tier has.
    func check(for tier: Tier) throws(ServiceError) {
        for (field, asked, has) in [("vcpus", vcpus, tier.vcpus), ("memoryMb", memoryMb, tier.memoryMb)] {
            guard let asked, asked > has else { continue }
            throw ServiceError(
                .quotaExceeded, "VM not made: '\(field)' is \(asked), and tier '\(tier.rawValue)' has \(has).",
                hint: "Ask for less, or ask an admin for a larger tier.")
        }
    }
}

struct VMReference: ProcedureInput {
    private let text: String

    init(_ json: [UInt8]?) throws(ServiceError) {
        var text: String?
        try JSONReader.fields(of: json) { (reader: inout JSONReader, name: String) throws(ServiceError) in
            if name == "vmId" { text = try reader.string() } else { try reader.any() }
        }
        guard let text, !text.isEmpty else {
            throw ServiceError(.invalidRequest, "'vmId' is missing.", hint: "Send the id of a VM of 'vm.getAllVms'.")
        }
        self.text = text
    }

    /// What is no id at all is the id of nothing.
    func id() throws(ServiceError) -> EnvironmentID {
        guard let id = EnvironmentID(text) else {
            throw ServiceError(
                .environmentNotFound, "There is no VM '\(text.prefix(64))'.", hint: "See 'vm.getAllVms' for all.")
        }
        return id
    }
}

/// Where a list of VMs goes on.
struct FleetCursor: ProcedureInput {
    let id: EnvironmentID?

    init(_ json: [UInt8]?) throws(ServiceError) {
        var id: EnvironmentID?
        try JSONReader.fields(of: json) { (reader: inout JSONReader, name: String) throws(ServiceError) in
            guard name == "cursor" else {
                try reader.any()
                return
            }
            if try reader.null() { return }
            id = EnvironmentID(try reader.string())
            if id == nil { throw reader.invalid("is not a cursor", hint: "Send the 'nextCursor' of the page before.") }
        }
        self.id = id
    }
}
