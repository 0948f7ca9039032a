#!/usr/bin/env perl
# Commit the middle of a chain and wait for the job's end, with nothing but Perl's own modules.
#
# Needs qmpd (QMPD="python3 -m qmpd" if the program is not in PATH); starts one with images in RAM.
# The client would do the same with a real QEMU behind the socket.
use strict;
use warnings;
use File::Temp ();
use FindBin    ();
use IO::Socket::UNIX;
use JSON::PP;
use Socket qw(SOCK_STREAM);

my $JSON = JSON::PP->new->canonical->utf8;
my $JOB  = 'commit-middle';

# --- a daemon to talk to ---------------------------------------------------------------------

# Returns the options for a chain of layers, the base first, defined as libvirt does: a storage
# node each, and a format node on top of it.
sub chain {
    my @layers = @_;
    my ( @words, $below );
    for my $layer (@layers) {
        my $storage = {
            'driver'         => 'file',
            'node-name'      => "$layer-storage",
            'filename'       => "/images/$layer.qcow2",
            'auto-read-only' => JSON::PP::true,
        };
        my $format = {
            'driver'    => 'qcow2',
            'node-name' => $layer,
            'read-only' => $layer eq $layers[-1] ? JSON::PP::false : JSON::PP::true,
            'file'      => "$layer-storage",
            'backing'   => $below,
        };
        push @words, map { ( '--blockdev', $JSON->encode($_) ) } $storage, $format;
        $below = $layer;
    }
    return @words;
}

# When this returns, qmpd listens on the socket.
sub start_daemon {
    my ($path) = @_;
    my $scenario = "$FindBin::Bin/chain.toml";
    my @qmpd = split ' ', $ENV{QMPD} // 'qmpd';
    system( @qmpd, '--storage', 'memory', '--scenario', $scenario, '--daemonize',
        chain(qw(base middle top)),
        '--chardev', "socket,id=qmp,path=$path,server=on,wait=off", '--monitor', 'qmp' ) == 0
      or die "qmpd did not start\n";
    return;
}

# --- the client ------------------------------------------------------------------------------

# Returns a conversation past greeting and negotiation.
sub connect_to {
    my ($path) = @_;
    my $socket = IO::Socket::UNIX->new( Type => SOCK_STREAM, Peer => $path )
      or die "$path: $!\n";
    $socket->autoflush(1);
    my $client = { socket => $socket, events => [] };
    my $version = receive($client)->{QMP}{version}{qemu};
    print "connected to QEMU $version->{major}.$version->{minor}.$version->{micro}\n";
    execute( $client, 'qmp_capabilities' );
    return $client;
}

sub receive {
    my ($client) = @_;
    my $line = $client->{socket}->getline // die "the daemon has gone\n";
    return $JSON->decode($line);
}

# Returns what a command returns; events on the way are kept for next_event.
sub execute {
    my ( $client, $command, $arguments ) = @_;
    my $request = { execute => $command, arguments => $arguments // {} };
    print { $client->{socket} } $JSON->encode($request), "\n";
    while (1) {
        my $message = receive($client);
        die "$command: $message->{error}{desc}\n" if $message->{error};
        return $message->{return}                 if exists $message->{return};
        push @{ $client->{events} }, $message;
    }
}

sub next_event {
    my ($client) = @_;
    return shift @{ $client->{events} } // receive($client);
}

# Returns the files of a chain, from the active layer down.
sub files_below {
    my ( $client, $node ) = @_;
    my ($found) =
      grep { $_->{'node-name'} eq $node } @{ execute( $client, 'query-named-block-nodes' ) };
    my @files;
    for ( my $image = $found->{image} ; $image ; $image = $image->{'backing-image'} ) {
        push @files, $image->{filename};
    }
    return @files;
}

# Dies if the job fails.
sub wait_for_end {
    my ( $client, $job ) = @_;
    while (1) {
        my $event = next_event($client);
        next if $event->{event} ne 'JOB_STATUS_CHANGE' or $event->{data}{id} ne $job;
        print "  $job: $event->{data}{status}\n";
        last if $event->{data}{status} eq 'concluded';
    }
    my ($state) = grep { $_->{id} eq $job } @{ execute( $client, 'query-jobs' ) };
    die "$job failed: $state->{error}\n" if defined $state->{error};
    execute( $client, 'job-dismiss', { id => $job } );
    return;
}

my $folder = File::Temp->newdir;
my $path   = "$folder/qmp.sock";
start_daemon($path);
my $client = connect_to($path);
print 'before: ', join( ' -> ', files_below( $client, 'top' ) ), "\n";
execute(
    $client,
    'block-commit',
    {
        'job-id'       => $JOB,
        'device'       => 'top',
        'top-node'     => 'middle',
        'base-node'    => 'base',
        'auto-dismiss' => JSON::PP::false,
    }
);
wait_for_end( $client, $JOB );
print 'after:  ', join( ' -> ', files_below( $client, 'top' ) ), "\n";
execute( $client, 'quit' );
