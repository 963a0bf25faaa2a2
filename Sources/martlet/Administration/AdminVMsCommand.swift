import ArgumentParser
import Client

struct AdminVMsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "vms", abstract: "See and control the VMs of everybody.",
        discussion: """
            Examples:
              martlet admin vms list --state error
              martlet admin vms list --owner ada --destroyed
              martlet admin vms why env_ab12cd34
              martlet admin vms timeline env_ab12cd34 --limit 20
              martlet admin vms destroy env_ab12cd34 --force
            """,
        subcommands: [
            List.self, Show.self, Start.self, Stop.self, Recover.self, Reconcile.self, Destroy.self, Why.self,
            Timeline.self, Logs.self, AdminUnknownVMsCommand.self,
        ], defaultSubcommand: List.self)

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List the VMs of everybody, newest first.")
        @OptionGroup var list: ListOptions
        @Option(help: "Only those in this state; may be given often.") var state: [String] = []
        @Option(help: "Only those of this provider.") var provider: String?
        @Option(help: ArgumentHelp("Only those of this user.", valueName: "user")) var owner: String?
        @Option(help: "Only those of this tier.") var tier: String?
        @Option(help: "Only those on this host.") var host: String?
        @Option(help: "Only users' own VMs (user_vm), or only those beside them (environment).") var kind: String?
        @Option(help: ArgumentHelp("What slug or name begin with.", valueName: "text")) var search: String?
        @Flag(help: "Also those that are no more.") var destroyed = false

        func run() async throws {
            let query = [
                ("state", state.isEmpty ? nil : state.joined(separator: ",")), ("provider", provider),
                ("owner", owner), ("tier", tier), ("host", host), ("kind", kind), ("search", search),
                ("destroyed", destroyed ? "true" : nil),
            ]
            try await list.show(
                .userVM, query, paging: .last(parameter: "after"), whenEmpty: "There are no such VMs.")
        }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show one.")
        @OptionGroup var vm: OneOptions

        func run() async throws { try await vm.show(.userVM) }
    }

    struct Start: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Wake one.")
        @OptionGroup var vm: OneOptions
        @OptionGroup var waiting: Waiting

        func run() async throws {
            try await vm.move(.userVM, "start", waiting, try .userVM(vm.name), until: isIn("running"))
        }
    }

    struct Stop: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Put one to sleep; its home stays.")
        @OptionGroup var vm: OneOptions
        @OptionGroup var waiting: Waiting

        func run() async throws {
            try await vm.move(.userVM, "stop", waiting, try .userVM(vm.name), until: isIn("stopped"))
        }
    }

    struct Recover: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Take one out of state 'error': start it again.")
        @OptionGroup var vm: OneOptions
        @OptionGroup var waiting: Waiting

        func run() async throws {
            try await vm.move(.userVM, "recover", waiting, try .userVM(vm.name), until: isIn("running"))
        }
    }

    struct Reconcile: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Have one compared with what its provider says of it.")
        @OptionGroup var vm: OneOptions

        func run() async throws { try await vm.act(.userVM, "reconcile") }
    }

    struct Destroy: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Remove one and everything in its home.")
        @OptionGroup var vm: OneOptions
        @Flag(help: "Also where it is on its way from one state to another.") var force = false
        @OptionGroup var waiting: Waiting
        @OptionGroup var confirmation: Confirmation

        func run() async throws {
            let one = try Resource.userVM.path(of: vm.name)
            let found = try await vm.answer.client().call("GET", one).decoded(as: JSONValue.self)
            let owner = found["vm.ownerName"]?.text ?? found["vm.ownerId"]?.text ?? "nobody"
            try await confirmation.confirm(
                TerminalText.visible("This removes the VM \(vm.name) of \(owner) and all files in it"))
            let path = APIClient.path(one, [("force", force ? "true" : nil)])
            try await waiting.carryOut(vm.answer, .userVM, try .userVM(vm.name), until: isGone) {
                try await $0.call("DELETE", path)
            }
        }
    }

    struct Why: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show what keeps one awake, and until when.")
        @OptionGroup var vm: OneOptions

        func run() async throws {
            try await vm.answer.show(.wakeReason, at: "\(try Resource.userVM.path(of: vm.name))/why")
        }
    }

    struct Timeline: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show what was done to one and run in it, newest first.")
        @OptionGroup var list: ListOptions
        @Argument(help: "Its slug or id.") var vm: String

        func run() async throws {
            try await list.show(
                .timeline, at: "\(try Resource.userVM.path(of: vm))/timeline",
                paging: .cursor(parameter: "before", field: "next"), whenEmpty: "Nothing was done to it.")
        }
    }

    struct Logs: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show what was done to make and start one, of the last hour.")
        @OptionGroup var log: LogOptions
        @Argument(help: "Its slug or id.") var vm: String

        func run() async throws { try await log.show("\(try Resource.userVM.path(of: vm))/logs") }
    }
}

extension Transition {
    fileprivate static func userVM(_ name: String) throws -> Transition {
        let path = try Resource.userVM.path(of: name)
        return Transition(
            path: path, field: Resource.userVM.one, logPath: "\(path)/logs",
            advice: """
                See 'martlet admin vms timeline \(name)', then 'martlet admin vms recover \(name)' or \
                'martlet admin vms destroy \(name)'.
                """)
    }
}
