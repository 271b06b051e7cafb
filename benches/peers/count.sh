#!/bin/sh
# Counts the k-mers of a FASTA file with a dedicated counter, at its best settings for a small k.
#
#   count.sh jellyfish|kmc K THREADS FASTA FOLDER forward|canonical      writes FOLDER/counts
#   count.sh jellyfish|kmc dump FOLDER                                   prints `KMER COUNT`, a line each
#
# Both are Debian packages: apt-get install jellyfish kmc (measured with 2.3.0 and 3.2.1).
set -eu
tool=$1
if [ "$2" = dump ]; then
    case $tool in
    jellyfish) exec jellyfish dump -c "$3/counts" ;;
    kmc) kmc_tools -hp transform "$3/counts" dump "$3/counts.txt" >/dev/null && exec cat "$3/counts.txt" ;;
    esac
fi
k=$2 threads=$3 fasta=$4 folder=$5 strands=$6
case $tool in
jellyfish)
    # The hash holds every k-mer there is, so it never grows. Its counters have 7 bits and an overflow; wider ones cost nothing here.
    [ "$strands" = canonical ] && canonical=-C || canonical=
    exec jellyfish count -m "$k" -s $((4 << (2 * k))) -c 32 -t "$threads" $canonical -o "$folder/counts" "$fasta"
    ;;
kmc)
    # -b counts one strand, -ci1 keeps what was seen once, -cs lets counts have 32 bits.
    [ "$strands" = canonical ] && forward= || forward=-b
    exec kmc -hp -k"$k" -t"$threads" -fm $forward -ci1 -cs4294967295 "$fasta" "$folder/counts" "$folder" >/dev/null
    ;;
esac
